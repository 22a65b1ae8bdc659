/** The one place the version is written is package.json. */
import packageJson from "../package.json" with { type: "json" };

export const version: string = packageJson.version;
