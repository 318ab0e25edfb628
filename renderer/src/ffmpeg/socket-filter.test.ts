import { describe, expect, it } from 'vitest';
import { socketFilter } from './socket-filter.ts';

const X86_64 = 0xc000_003e;
const I386 = 0x4000_0003;
const ALLOW = 0x7fff_0000;
const ENOSYS = 0x0005_0026;
const EAFNOSUPPORT = 0x0005_0061;

/** What a kernel answers to a call, by the program's own bytes. */
function answer(filter: Uint8Array, machine: number, number: number, ...args: number[]): number {
  const program = new DataView(filter.buffer, filter.byteOffset, filter.byteLength);
  const call = new DataView(new ArrayBuffer(64));
  call.setUint32(0, number, true);
  call.setUint32(4, machine, true);
  for (const [i, arg] of args.entries()) call.setBigUint64(16 + 8 * i, BigInt(arg), true);
  let loaded = 0;
  for (let at = 0; at < filter.length; at += 8) {
    const operand = program.getUint32(at + 4, true);
    const code = program.getUint16(at, true);
    if (code === 0x06) return operand;
    if (code === 0x20) loaded = call.getUint32(operand, true);
    else {
      const holds = code === 0x15 ? loaded === operand : loaded >= operand;
      at += 8 * program.getUint8(at + (holds ? 2 : 3));
    }
  }
  throw new Error('the program has no end');
}

describe('the filter of sockets', () => {
  const filter = socketFilter('x64') ?? new Uint8Array();

  it('refuses every family but that of files', () => {
    const families = Array.from({ length: 64 }, (_, family) => family);
    const allowed = families.filter((family) => answer(filter, X86_64, 41, family) === ALLOW);
    expect(allowed).toEqual([1]);
    expect(answer(filter, X86_64, 41, 2)).toBe(EAFNOSUPPORT);
  });

  it('looks at as much of the family as the kernel does', () => {
    expect(answer(filter, X86_64, 41, 0x1_0000_0002)).toBe(EAFNOSUPPORT);
    expect(answer(filter, X86_64, 41, 0x1_0000_0001)).toBe(ALLOW);
  });

  it('lets all other calls be but those that open sockets in other ways', () => {
    const numbers = Array.from({ length: 600 }, (_, number) => number);
    const refused = numbers.filter((number) => answer(filter, X86_64, number, 2) !== ALLOW);
    expect(refused).toEqual([41, 425]);
    expect(answer(filter, X86_64, 425)).toBe(ENOSYS);
    expect(answer(filter, X86_64, 0x4000_0000 + 41, 1)).toBe(ENOSYS);
    expect(answer(filter, I386, 102, 1)).toBe(ENOSYS);
  });

  it('is not made for machines whose calls have other numbers', () => {
    expect(socketFilter('arm64')).toBeUndefined();
  });
});
