/** Which models another server answers, and where it is. From the start-up configuration only: nothing of a request decides it. */

/** An element of the configuration's `auxiliary`. */
export interface AuxiliarySettings {
  readonly models: readonly string[];
  readonly base_url: string;
  readonly api_key_env?: string | undefined;
}

export interface AuxiliaryServer {
  readonly origin: string;
  /** Of its chat completions. */
  readonly path: string;
  /** `undefined`: no key is sent. */
  readonly apiKey: string | undefined;
}

/** The first server one of whose patterns fits the model's whole name. */
export type FindServer = (model: unknown) => AuxiliaryServer | undefined;

/** `keys`: variable name → key. */
export function createFindServer(
  settings: readonly AuxiliarySettings[],
  keys: ReadonlyMap<string, string>,
): FindServer {
  const servers = settings.map(({ models, base_url: baseUrl, api_key_env: name }) => {
    const { origin, pathname } = new URL(baseUrl);
    const apiKey = name === undefined ? undefined : keys.get(name);
    return {
      fits: models.map(modelPattern),
      server: { origin, path: `${pathname.replace(/\/+$/, "")}/chat/completions`, apiKey },
    };
  });
  return (model) => {
    if (typeof model !== "string") return undefined;
    return servers.find(({ fits }) => fits.some((matches) => matches(model)))?.server;
  };
}

/** `*` stands for any text, also none; everything else for itself. Without a regular expression: those can be made to take for ever. */
function modelPattern(pattern: string): (model: string) => boolean {
  const [first = "", ...others] = pattern.split("*");
  const last = others.pop();
  if (last === undefined) return (model) => model === pattern;
  return (model) => {
    if (!model.startsWith(first) || !model.endsWith(last)) return false;
    let at = first.length;
    for (const part of others) {
      const found = model.indexOf(part, at);
      if (found === -1) return false;
      at = found + part.length;
    }
    return at + last.length <= model.length;
  };
}
