/** The chart's tests: they need helm and kat (`.ci/helm.sh` installs both), or a cluster, and so are no part of `npm test`. */
import { join } from "node:path";
import { defineConfig } from "vitest/config";

export default defineConfig({
  root: join(import.meta.dirname, ".."),
  test: {
    environment: "node",
    globals: false,
    expect: { requireAssertions: true },
    projects: [
      {
        extends: true,
        test: { name: "helm", include: ["test/helm/*.spec.ts"], testTimeout: 60_000 },
      },
      {
        extends: true,
        test: {
          name: "cluster",
          include: ["test/helm/cluster/*.spec.ts"],
          testTimeout: 180_000,
          hookTimeout: 180_000,
        },
      },
    ],
  },
});
