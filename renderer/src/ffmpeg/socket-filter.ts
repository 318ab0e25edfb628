// Responsible for the program by which the kernel refuses a tool every socket that could lead out of this machine, where
// it can be given no network of its own. Sockets of files stay: a GPU's driver asks by them for its helpers.

/** An instruction of classic BPF: code (16 bits), where to go on if true and if not (8 each), operand (32). */
type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, operand: number];

const LOAD = 0x20;
const IF_EQUAL = 0x15;
const IF_AT_LEAST = 0x35;
const RETURN = 0x06;

/** Offsets in what the kernel shows of a call (`struct seccomp_data`), bytes. */
const CALL = { number: 0, machine: 4, firstArgument: 16 } as const;

const X86_64 = 0xc000_003e;
/** From here on are the same calls again, for programs with short pointers. */
const X32_CALLS = 0x4000_0000;
const SOCKET = 41;
/** Its queue opens sockets without a call that could be refused. */
const IO_URING_SETUP = 425;
const AF_UNIX = 1;

const ALLOW = 0x7fff_0000;
const refuse = (errno: number) => 0x0005_0000 + errno;
const ENOSYS = 38;
const EAFNOSUPPORT = 97;

const PROGRAM: readonly Instruction[] = [
  [LOAD, 0, 0, CALL.machine],
  [IF_EQUAL, 0, 5, X86_64],
  [LOAD, 0, 0, CALL.number],
  [IF_AT_LEAST, 3, 0, X32_CALLS],
  [IF_EQUAL, 2, 0, IO_URING_SETUP],
  [IF_EQUAL, 2, 0, SOCKET],
  [RETURN, 0, 0, ALLOW],
  [RETURN, 0, 0, refuse(ENOSYS)],
  [LOAD, 0, 0, CALL.firstArgument],
  [IF_EQUAL, 0, 1, AF_UNIX],
  [RETURN, 0, 0, ALLOW],
  [RETURN, 0, 0, refuse(EAFNOSUPPORT)],
];

/**
 * The program as `setpriv --seccomp-filter` reads it; undefined for a machine whose calls have other numbers.
 * @param arch as `process.arch` says it.
 */
export function socketFilter(arch: string): Uint8Array | undefined {
  if (arch !== 'x64') return undefined;
  const bytes = new DataView(new ArrayBuffer(8 * PROGRAM.length));
  for (const [i, [code, ifTrue, ifFalse, operand]] of PROGRAM.entries()) {
    bytes.setUint16(8 * i, code, true);
    bytes.setUint8(8 * i + 2, ifTrue);
    bytes.setUint8(8 * i + 3, ifFalse);
    bytes.setUint32(8 * i + 4, operand, true);
  }
  return new Uint8Array(bytes.buffer);
}
