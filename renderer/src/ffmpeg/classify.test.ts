import { describe, expect, it } from 'vitest';
import { classifyEnd } from './classify.ts';

const said = (line: string) => classifyEnd({ code: 1, signal: null, stderr: ['x', line, 'y'] });

describe('the reason why an encoder failed', () => {
  it.each([
    ['av_interleaved_write_frame(): No space left on device', 'disk_full'],
    ['Error: Cannot allocate memory', 'out_of_memory'],
    ['[h264_nvenc @ 0x1] Cannot load libcuda.so.1', 'encoder_unavailable'],
    ['[h264_nvenc @ 0x1] OpenEncodeSessionEx failed: out of memory (10)', 'out_of_memory'],
    ['[hevc_nvenc @ 0x1] No capable devices found', 'encoder_unavailable'],
    ['Driver does not support the required nvenc API version.', 'encoder_unavailable'],
    ["Unknown encoder 'libx264'", 'encoder_unavailable'],
    ['Decoder (codec none) not found for input stream #0:0', 'input_unsupported'],
    ['file:input: Invalid data found when processing input', 'input_invalid'],
    ['Conversion failed!', 'encoder_failed'],
  ])('is read from its words: %s', (line, code) => {
    expect(said(line)).toBe(code);
  });

  it('is the memory when the kernel killed it, and the encoder when it crashed', () => {
    expect(classifyEnd({ code: null, signal: 'SIGKILL', stderr: [] })).toBe('out_of_memory');
    expect(classifyEnd({ code: null, signal: 'SIGSEGV', stderr: [] })).toBe('encoder_failed');
  });
});
