const PATHS = {
  play: 'M7 4.5v15l12-7.5z',
  pause: 'M7 5h4v14H7zM14 5h4v14h-4z',
  download: 'M12 3v12m0 0 5-5m-5 5-5-5M4 20h16',
  bin: 'M4 7h16M10 7V4h4v3M6 7l1 13h10l1-13M10 11v5M14 11v5',
  check: 'M4 12.5 9.5 18 20 6.5',
  cross: 'M6 6l12 12M18 6 6 18',
  plus: 'M12 5v14M5 12h14',
  copy: 'M9 9h11v11H9zM5 15H4V4h11v1',
  retry: 'M4 12a8 8 0 1 0 2.5-5.8M4 4v5h5',
  sun: 'M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2M12 20v2M4 12H2M22 12h-2M5 5l1.4 1.4M17.6 17.6 19 19M19 5l-1.4 1.4M6.4 17.6 5 19',
  moon: 'M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5z',
  auto: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 3v18',
  sliders: 'M4 7h10M18 7h2M4 17h2M10 17h10M14 4.5v5M6 14.5v5',
} as const;

const SOLID = new Set<string>(['play', 'pause']);

export type IconName = keyof typeof PATHS;

/** A drawing beside a text that says the same, so hidden from screen readers. */
export function Icon({ name }: { name: IconName }) {
  return (
    <svg className="icon" viewBox="0 0 24 24" aria-hidden="true" data-solid={SOLID.has(name)}>
      <path d={PATHS[name]} />
    </svg>
  );
}
