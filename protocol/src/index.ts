// Everything that can be said on a wire of this project. Read this first.
export * from './version.ts';
export * from './constants.ts';
export * from './options.ts';
export * from './failures.ts';
export * from './problems.ts';
export * from './job.ts';
export * from './messages.ts';
export * from './callbacks.ts';
export * from './channel.ts';
export * from './parts.ts';
export * from './requests.ts';
export * from './source-url.ts';
export * from './access.ts';
export * from './explain.ts';
