type Subscribe = (listener: () => void) => () => void;

/** Hears of changes at most once a frame; at once where there are no frames, or nobody sees them. */
export const eachFrame =
  (subscribe: Subscribe): Subscribe =>
  (listener) => {
    const hasFrames = typeof requestAnimationFrame === 'function';
    let frame: number | null = null;
    const unsubscribe = subscribe(() => {
      if (!hasFrames || globalThis.document?.hidden) return listener();
      frame ??= requestAnimationFrame(() => {
        frame = null;
        listener();
      });
    });
    return () => {
      unsubscribe();
      if (frame !== null) cancelAnimationFrame(frame);
    };
  };
