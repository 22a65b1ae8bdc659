/**
 * `npm run build`: src/ → dist/, for Node 22.19 and newer, with nothing left to install.
 *
 * The entry is small on purpose: it switches on node's compile cache, and only what is loaded after
 * that is cached. What `serve` needs lies beside it in two chunks, the packages' code and ours; what
 * most runs never load (the AWS SDK's credential chain, the simulator, doctor, YAML) in others.
 */
import { appendFileSync, chmodSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ChunkingContext, type OutputChunk, type Plugin, rolldown } from "rolldown";
import { thirdPartyLicences } from "./build-licences.ts";

const root = join(import.meta.dirname, "..");
const dist = join(root, "dist");

rmSync(dist, { recursive: true, force: true });
const chunks = await bundle();
refuseImportsFromElsewhere(chunks);
linkMaps(chunks);
const licences = thirdPartyLicences(chunks.flatMap(({ moduleIds }) => moduleIds));
writeFileSync(join(dist, "THIRD_PARTY_LICENSES"), licences);
chmodSync(join(dist, "turnpike.js"), 0o755);
for (const { fileName, code } of chunks) {
  console.log(`${String(Math.ceil(code.length / 1024)).padStart(6)} KiB  dist/${fileName}`);
}

async function bundle(): Promise<OutputChunk[]> {
  const build = await rolldown({
    input: { turnpike: join(root, "src/main.ts"), yaml: "yaml" },
    cwd: root,
    platform: "node",
    // `using` is compiled down: Node 22 does not know it.
    transform: { target: "node22.19" },
    plugins: [yamlBesideTheBundle(), ownCodeOnlyInMaps()],
    // What `serve` needs is in one chunk whoever imports it.
    checks: { ineffectiveDynamicImport: false },
    onLog: (level, { message }) => {
      if (level === "warn") throw new Error(message);
    },
  });
  const { output } = await build.write({
    dir: dist,
    format: "esm",
    sourcemap: "hidden",
    // Names stay: a stack trace must be readable where nobody passed --enable-source-maps.
    minify: { compress: true, mangle: false, codegen: true },
    entryFileNames: "[name].js",
    chunkFileNames: "[name].js",
    codeSplitting: {
      groups: [
        { test: /node_modules/, name: neededToServe("packages"), debugName: "packages" },
        { name: neededToServe("gateway"), debugName: "gateway" },
        { test: /node_modules\/@(aws-sdk|smithy)\//, name: "aws-credentials" },
        { test: /node_modules\/yaml\//, name: "yaml-package" },
      ],
    },
  });
  await build.close();
  return output.filter((file) => file.type === "chunk");
}

/**
 * The configuration's reader loads YAML synchronously and only when there is a file. A bundler does
 * not see that, so YAML is an entry of its own and the reader is pointed at it.
 */
function yamlBesideTheBundle(): Plugin {
  const asWritten = 'createRequire(import.meta.url)("yaml")';
  return {
    name: "yaml-beside-the-bundle",
    transform: {
      filter: { id: /src\/config\/file\.ts$/ },
      handler(code) {
        if (!code.includes(asWritten)) throw new Error(`src/config/file.ts has no ${asWritten}`);
        const bundled = `${asWritten.replace("yaml", "./yaml.js")}.default`;
        return { code: code.replace(asWritten, bundled), map: null };
      },
    },
  };
}

/**
 * Under --enable-source-maps node reads the map of every file that names one, at start-up; with the
 * packages in it that took 200 ms. Without them a stack trace names their code as it is in dist/.
 */
function ownCodeOnlyInMaps(): Plugin {
  return {
    name: "own-code-only-in-maps",
    transform: {
      filter: { id: /node_modules/ },
      handler: (code) => ({ code, map: { mappings: "" } }),
    },
  };
}

/** Names the chunk of what `serve` loads by static imports; the rest goes where the bundler likes. */
function neededToServe(name: string): (id: string, context: ChunkingContext) => string | null {
  const entries = [join(root, "src/cli.ts"), join(root, "src/commands/serve.ts")];
  let needed: ReadonlySet<string> | undefined;
  return (id, context) => {
    needed ??= staticImports(entries, context);
    return needed.has(id) ? name : null;
  };
}

function staticImports(entries: readonly string[], context: ChunkingContext): Set<string> {
  const seen = new Set(entries);
  for (const id of seen) {
    for (const imported of context.getModuleInfo(id)?.importedIds ?? []) seen.add(imported);
  }
  return seen;
}

/** dist/ must work in an empty folder: whatever it imports is its own or node's. */
function refuseImportsFromElsewhere(files: readonly OutputChunk[]): void {
  const own = new Set(files.map(({ fileName }) => fileName));
  for (const { fileName, imports, dynamicImports } of files) {
    const foreign = [...imports, ...dynamicImports].find(
      (name) => !(own.has(name) || name.startsWith("node:")),
    );
    if (foreign !== undefined) throw new Error(`dist/${fileName} imports ${foreign}`);
  }
}

/** A chunk with code of ours names its map; the map of any other has nothing in it. */
function linkMaps(files: readonly OutputChunk[]): void {
  for (const { fileName, moduleIds } of files) {
    const file = join(dist, fileName);
    if (moduleIds.some((id) => id.startsWith(join(root, "src/")))) {
      appendFileSync(file, `\n//# sourceMappingURL=${fileName}.map\n`);
    } else {
      rmSync(`${file}.map`, { force: true });
    }
  }
}
