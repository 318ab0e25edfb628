// Broadcast from memory: one Node process, `node:http` and `ws`.
import { serve } from './broadcast-server.ts';

serve((tell) => tell);
