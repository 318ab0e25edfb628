// `npm run conformance -- <command of a renderer>`: holds it to every case of `conformance/`.
import '../conformance/run.ts';
