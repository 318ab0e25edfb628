// Responsible for requests that are whole, and bad in one way each: everything else about them is right, so
// that it is this one thing that must be refused.
import type { ProblemCode } from '@export-jobs/protocol';
import {
  NOTHING_IN_IT,
  NOT_AN_OBJECT,
  NOT_JSON,
  NOT_JSON_TYPES,
  UNKNOWN_KEYS,
} from './catalogue.ts';
import { withField, withMore, type Body } from './bodies.ts';
import { pathOf, pickCall, type Call, type Generator, type Route, type Scene } from './calls.ts';
import { NO_EPOCHS, wrongIds } from './ids.ts';
import { refusal, type Input } from './input.ts';
import { draftOf, requestInput, short, withHeaders, type Draft } from './request.ts';

/** No body may be larger that says nothing else, bytes. */
const MAX_BODY = 64 * 1024;
/** What a connection takes in without anybody reading it, bytes. */
const UNREAD = 2_000_000;
/** How much larger one is, bytes. */
const TOO_MUCH = [1, 5000, 35_000, 1_000_000];
const METHODS = [
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'PATCH',
  'DELETE',
  'TRACE',
  'PROPFIND',
  'SEARCH',
  'PURGE',
  'LOCK',
];

type WithBody = Call & { readonly body: Body };

function pickBody(scene: Scene, routes: readonly Route[], fits: (body: Body) => boolean): WithBody {
  const { body, ...call } = pickCall(scene, routes, (one) => one.body !== null && fits(one.body));
  if (!body) throw new Error('no body');
  return { ...call, body };
}

function bodyInput(
  kind: string,
  what: string,
  draft: Draft,
  body: string | Buffer,
  codes: ProblemCode[],
): Input {
  return requestInput(kind, what, { ...draft, body }, refusal(codes));
}

/** A bad value in one field. */
export const badValue: Generator = (scene, routes) => {
  const call = pickBody(scene, routes, () => true);
  const { fields, required } = call.body;
  const isOfRequired = required.length > 0 && scene.random.chance(0.5);
  const path = scene.random.pick(isOfRequired ? required : Object.keys(fields));
  const value = scene.random.pick(fields[path] ?? []);
  const text = withField(call.body, path, value);
  return bodyInput('bad value', `${path} = ${short(value)}`, draftOf(call, scene), text, [
    'invalid_body',
  ]);
};

/** A field that must be there is not, or the body is no object at all. */
export const badShape: Generator = (scene, routes) => {
  const { random } = scene;
  const call = pickBody(scene, routes, () => true);
  const { required } = call.body;
  const without = required.map((path) => withField(call.body, path, null));
  const other = [...NOT_AN_OBJECT, ...(required.length > 0 ? NOTHING_IN_IT : [])];
  const text = random.pick(random.chance(0.5) && without.length > 0 ? without : other);
  return bodyInput('bad shape', short(text), draftOf(call, scene), text, ['invalid_body']);
};

/** A name that a strict object does not know. */
export const unknownKey: Generator = (scene, routes) => {
  const { random } = scene;
  const call = pickBody(scene, routes, ({ strict }) => strict.length > 0);
  const where = random.pick(call.body.strict);
  const key = random.pick(UNKNOWN_KEYS);
  const value = random.pick(['1', 'null', '{}', '{"isAdmin":true}', '[[[]]]', '"x"']);
  const text = withMore(call.body, where, `${JSON.stringify(key)}:${value}`, random.chance(0.5));
  return bodyInput('unknown key', `/${where} ${short(key)}`, draftOf(call, scene), text, [
    'invalid_body',
  ]);
};

/** The same field twice: the last one counts, and is bad. */
export const twice: Generator = (scene, routes) => {
  const { random } = scene;
  const call = pickBody(scene, routes, () => true);
  const path = random.pick(Object.keys(call.body.fields).filter((name) => !name.includes('.')));
  const value = random.pick(call.body.fields[path] ?? []);
  const text = withMore(call.body, '', `${JSON.stringify(path)}:${value}`, false);
  return bodyInput('field twice', `${path} = ${short(value)}`, draftOf(call, scene), text, [
    'invalid_body',
  ]);
};

/** No JSON, or none in UTF-8. */
export const notJson: Generator = (scene, routes) => {
  const { random } = scene;
  const call = pickBody(scene, routes, () => true);
  const right = JSON.stringify(call.body.value);
  const cut = right.slice(0, random.integer(1, right.length - 1));
  const text = random.chance(0.3) ? cut : random.pick(NOT_JSON);
  return bodyInput('not JSON', short(text.toString()), draftOf(call, scene), text, [
    'invalid_json',
  ]);
};

/** More than is taken: announced, or in chunks, of JSON or of anything. */
export const tooLarge: Generator = (scene, routes) => {
  const { random } = scene;
  const call = pickBody(scene, routes, () => true);
  const size = (call.body.max ?? MAX_BODY) + random.pick(TOO_MUCH);
  const fill = random.pick(['x', ' ', '[', '\u0000']).repeat(size);
  const keys = Array.from({ length: size / 8 }, (_, n) => `"k${n}":${n}`).join(',');
  const text = random.pick([
    fill,
    `{"a":"${fill}"}`,
    `{${keys}}`,
    withMore(call.body, '', `"${fill}":1`, true),
  ]);
  const draft = draftOf(call, scene);
  const isChunked = random.chance(0.5);
  const framed = isChunked ? withHeaders(draft, { 'transfer-encoding': 'chunked' }) : draft;
  const body = isChunked ? `${text.length.toString(16)}\r\n${text}\r\n0\r\n\r\n` : text;
  const what = `${text.length} bytes${isChunked ? ' in chunks' : ''}`;
  // It is refused while it is still being sent: where that takes long, the answer may be lost to who sends on.
  const platform = text.length > UNREAD ? [413] : [];
  return requestInput(
    'too large',
    what,
    { ...framed, body },
    refusal(['body_too_large'], { platform }),
  );
};

export const wrongType: Generator = (scene, routes) => {
  const call = pickBody(scene, routes, () => true);
  const type = scene.random.pick([null, ...NOT_JSON_TYPES]);
  const draft = withHeaders(draftOf(call, scene), { 'content-type': type });
  return requestInput('content type', `${type}`, draft, refusal(['unsupported_media_type']));
};

export const wrongQuery: Generator = (scene, routes) => {
  const { random } = scene;
  const call = pickCall(scene, routes, (one) => Object.keys(one.wrongQuery).length > 0);
  const name = random.pick(Object.keys(call.wrongQuery));
  const value = random.pick(call.wrongQuery[name] ?? []);
  const draft = draftOf({ ...call, query: { ...call.query, [name]: value } }, scene);
  return requestInput('query', `${name} = ${short(value)}`, draft, refusal(['invalid_query']));
};

/** A method that the address does not take, or that nobody knows. */
export const wrongMethod: Generator = (scene, routes) => {
  const { random } = scene;
  const call = pickCall(scene, routes, () => true);
  const taken = routes
    .filter(({ pattern }) => pattern === call.pattern)
    .map(({ method }) => method);
  const takes = (method: string) => taken.includes(method === 'HEAD' ? 'GET' : method);
  const draft = withHeaders(draftOf(call, scene), { upgrade: null, connection: null });
  if (random.chance(0.1)) {
    const method = random.pick([
      'FOO',
      'get',
      'G',
      'POSTPOST',
      'X'.repeat(300),
      'CONNECT',
      'G3T',
      '*',
    ]);
    const platform = [400, 431, 500, 501];
    return requestInput('method', 'unknown', { ...draft, method }, refusal([], { platform }));
  }
  const method = random.pick(METHODS.filter((one) => !takes(one)));
  const expect = refusal(['method_not_allowed'], { head: method === 'HEAD' });
  return requestInput('method', 'not taken', { ...draft, method, body: draft.body ?? '' }, expect);
};

/** What any unmade id may be answered with; nothing else tells whether it exists. */
const NOT_THERE: ProblemCode[] = [
  ...(['not_found', 'job_not_found', 'key_not_found', 'file_not_found'] as const),
  ...(['link_expired', 'unauthorized', 'method_not_allowed'] as const),
];
/** In development any such id may be made by hand, so it is not a wrong one. */
const BY_HAND = /^(?!job_[0-9a-z]{26}_[0-9a-f]{8}$)[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;

/** An address that leads nowhere. */
export const wrongPath: Generator = (scene, routes) => {
  const { random, world } = scene;
  const call = pickCall(scene, routes, ({ params }) => Object.keys(params).length > 0);
  const draft = draftOf(call, scene);
  const expect = refusal(NOT_THERE);
  if (random.chance(0.3)) {
    const path = pathOf({ ...call, query: {} });
    const around = [
      '/',
      '//',
      ';x',
      '/..%2f',
      '/%00',
      '/x/y',
      '%',
      '/.json',
      '/../nothing',
      '%23',
      '%3f',
    ];
    const target = random.pick([
      ...around.map((end) => path + end),
      path.replace('/api/', '/api//'),
    ]);
    return requestInput('path', short(target.slice(path.length)), { ...draft, target }, expect);
  }
  const name = random.pick(Object.keys(call.params));
  const right = call.params[name] ?? '';
  const isWrong = (id: string) => world.mode === 'production' || !BY_HAND.test(id);
  // Any number may be an epoch's.
  const ids = name === 'epoch' ? NO_EPOCHS : wrongIds(right).filter(isWrong);
  const id = random.pick(ids);
  return requestInput(
    'path',
    `${name} = ${short(id)}`,
    { ...draft, target: pathOf(call, { [name]: id }) },
    expect,
  );
};
