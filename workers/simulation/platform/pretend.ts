/**
 * Passes a stand-in off as a piece of the platform. Only what the Worker really uses of it is there;
 * anything else fails loudly as `undefined is not a function`.
 */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the caller says what it is to pass for
export function pretend<T>(standIn: object): T {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the platform's types have a hundred members of which a dozen are used
  return standIn as T;
}
