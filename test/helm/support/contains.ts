/** Whether everything that was there still is: maps keep their keys, lists keep their elements in order. */
export function contains(before: unknown): (after: unknown) => boolean {
  return (after) => {
    if (Array.isArray(before)) {
      const rest = [...(after as unknown[])];
      return before.every((item) => {
        const at = rest.findIndex(contains(item));
        return at >= 0 && rest.splice(0, at + 1).length > 0;
      });
    }
    if (typeof before !== "object" || before === null) return before === after;
    return Object.entries(before).every(([key, value]) =>
      contains(value)((after as Record<string, unknown> | undefined)?.[key]),
    );
  };
}
