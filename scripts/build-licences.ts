/** The licence and notice texts of the packages in a bundle, from the files they came with. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

interface Package {
  readonly name: string;
  readonly version: string;
  /** SPDX, as declared. */
  readonly licence: string;
  readonly repository: string;
  /** Empty where the package came without a licence file. */
  readonly text: string;
}

const licenceFile = /^(licen[cs]e|copying|notice)(\.(md|txt))?$/i;

/**
 * Each text once, under the packages it came with. Throws for a package that declares no licence, or
 * has no licence file and no sibling of the same repository and licence that has one.
 */
export function thirdPartyLicences(moduleIds: readonly string[]): string {
  const directories = new Set(moduleIds.flatMap((id) => packageDirectory(id) ?? []));
  const packages = [...directories].sort((a, b) => (a < b ? -1 : 1)).map(readPackage);
  const namesByText = new Map<string, string[]>();
  for (const each of packages) {
    const text = each.text || siblingText(each, packages);
    const names = namesByText.get(text) ?? [];
    namesByText.set(text, [...names, `${each.name} ${each.version} (${each.licence})`]);
  }
  const line = `\n\n${"-".repeat(80)}\n\n`;
  const parts = [...namesByText].map(([text, names]) => `${names.join("\n")}\n\n${text}`);
  return `turnpike contains code of these packages, under the terms that follow each.${line}${parts.join(line)}\n`;
}

/** `…/node_modules/@scope/name` for a file below it; undefined for a module of ours or the bundler's. */
function packageDirectory(moduleId: string): string | undefined {
  return /^(.*\/node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(moduleId)?.[1];
}

function readPackage(directory: string): Package {
  const manifest = JSON.parse(readFileSync(join(directory, "package.json"), "utf8")) as {
    readonly name: string;
    readonly version: string;
    readonly license?: string;
    readonly repository?: string | { readonly url: string };
  };
  const { name, version, license, repository } = manifest;
  if (license === undefined) throw new Error(`${directory} declares no licence`);
  const texts = readdirSync(directory)
    .filter((file) => licenceFile.test(file))
    .sort()
    .map((file) => readFileSync(join(directory, file), "utf8").trim());
  return {
    name,
    version,
    licence: license,
    repository: typeof repository === "object" ? repository.url : (repository ?? ""),
    text: texts.join("\n\n"),
  };
}

function siblingText(of: Package, all: readonly Package[]): string {
  const sibling = all.find(
    ({ repository, licence, text }) =>
      text !== "" && repository === of.repository && licence === of.licence,
  );
  if (sibling === undefined) throw new Error(`${of.name} has no licence file`);
  return sibling.text;
}
