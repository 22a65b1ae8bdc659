/** What the chart refuses, and in which words. */
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type RenderOptions, refusal } from "./support/chart.ts";

const gateway = join(import.meta.dirname, "values/gateway.yaml");
const injection = join(import.meta.dirname, "values/injection.yaml");

type Refusal = readonly [why: string, options: RenderOptions, message: string];

const bySchema: readonly Refusal[] = [
  [
    "a misspelt value",
    { set: ["gateway.replicas=2"] },
    "at '/gateway': additional properties 'replicas' not allowed",
  ],
  [
    "a misspelt value at the top",
    { set: ["inject=true"] },
    "additional properties 'inject' not allowed",
  ],
  ["an unknown mode", { set: ["mode=webhook"] }, "value must be one of 'sidecar', 'gateway'"],
  [
    "text for a number",
    { set: ["gateway.replicaCount=two"] },
    "at '/gateway/replicaCount': got string, want integer",
  ],
  [
    "half a digest",
    { set: ["image.digest=sha256:0123"] },
    "at '/image/digest': 'sha256:0123' does not match pattern",
  ],
  [
    "sidecar limits apart from requests",
    { set: ["sidecar.resources.limits.cpu=1"] },
    "at '/sidecar/resources': additional properties 'limits' not allowed",
  ],
  [
    "a key that turnpike does not know",
    { set: ["config.server.prot=8484"] },
    "at '/config/server': additional properties 'prot' not allowed",
  ],
  [
    "a value that turnpike would not take",
    { set: ["config.log.level=loud"] },
    "at '/config/log/level': value must be one of 'trace', 'debug'",
  ],
  [
    "a port out of range",
    { set: ["config.server.port=70000"] },
    "at '/config/server/port': maximum: got 70,000, want 65,535",
  ],
  [
    "a variable without a name",
    { set: ["extraEnv[0].value=x"] },
    "at '/extraEnv/0': missing property 'name'",
  ],
];

const byTemplate: readonly Refusal[] = [
  [
    "a gateway without API keys",
    { file: gateway, set: ["gateway.apiKeys.existingSecret="] },
    "a gateway needs API keys, since whoever reaches it spends the job's turns. Make some and name them: kubectl create secret generic turnpike-api-keys --namespace rl",
  ],
  [
    "a gateway without an image",
    { file: gateway, set: ["image.repository="] },
    "image.repository: say where turnpike's image is",
  ],
  [
    "API keys in the configuration",
    { file: gateway, set: ["config.server.api_keys[0]=0123456789"] },
    "config.server.api_keys cannot be set here: it is a secret",
  ],
  [
    "another secret in the configuration",
    { file: gateway, set: ["config.simulator.upstream_api_key=secret"] },
    "config.simulator.upstream_api_key cannot be set here: it is a secret",
  ],
  [
    "the gateway's address in the configuration",
    { file: gateway, set: ["config.server.host=127.0.0.1"] },
    "config.server.host cannot be set here: the chart sets it",
  ],
  [
    "a sidecar's job in the configuration",
    {
      file: injection,
      set: ["config.identity.job_arn=arn:aws:sagemaker:us-east-1:123456789012:job/AgentRFT/one"],
    },
    "a sidecar reads it from its pod's annotation turnpike.dev/job-arn",
  ],
  [
    "a variable that the chart sets",
    { file: gateway, set: ["extraEnv[0].name=TURNPIKE_API_KEY"] },
    "extraEnv: TURNPIKE_API_KEY is set by the chart already",
  ],
  [
    "a variable that the configuration sets already",
    { file: injection, set: ["config.log.level=debug", "extraEnv[0].name=TURNPIKE_LOG_LEVEL"] },
    "extraEnv: TURNPIKE_LOG_LEVEL is set by the chart already",
  ],
  [
    "a grace period that would cut turns",
    { file: gateway, set: ["gateway.terminationGracePeriodSeconds=30"] },
    "30 s is not above the drain of 900 s",
  ],
  [
    "two replicas with one store",
    {
      file: gateway,
      set: ["gateway.replicaCount=2", "gateway.state.existingClaim=state"],
    },
    "its store belongs to one process",
  ],
  [
    "an autoscaler turned upside down",
    {
      file: gateway,
      set: ["gateway.autoscaling.enabled=true", "gateway.autoscaling.minReplicas=11"],
    },
    "minReplicas (11) is above maxReplicas (10)",
  ],
  [
    "injection before Kubernetes 1.36",
    { file: injection, kubeVersion: "1.35.3" },
    "injection.enabled: MutatingAdmissionPolicy v1 needs Kubernetes 1.36, and this is v1.35.3",
  ],
  [
    "injection by a gateway",
    { file: gateway, set: ["injection.enabled=true"] },
    "injection.enabled: needs mode sidecar",
  ],
  [
    "a Kubernetes without native sidecars",
    { file: gateway, kubeVersion: "1.28.9" },
    "chart requires kubeVersion: >=1.29.0-0",
  ],
];

describe("the schema refuses", () => {
  it.each(bySchema)("%s", async (_why, options, message) => {
    expect(await refusal(options)).toContain(message);
  });
});

describe("the templates refuse", () => {
  it.each(byTemplate)("%s", async (_why, options, message) => {
    expect(await refusal(options)).toContain(message);
  });
});
