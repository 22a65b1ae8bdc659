/** The version is package.json's alone. */

/** Chart.yaml with both its versions renewed; comments and order stay. */
export function chartWithVersion(chart: string, version: string): string {
  return chart
    .replace(/^version: .*$/m, `version: ${version}`)
    .replace(/^appVersion: .*$/m, `appVersion: ${version}`);
}
