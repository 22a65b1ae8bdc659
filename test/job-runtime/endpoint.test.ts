import { describe, expect, it } from "vitest";
import { isServiceHost, resolveEndpoint } from "../../src/job-runtime/endpoint.ts";

describe("resolveEndpoint", () => {
  it.each([
    ["us-east-1", false, "https://job-runtime.sagemaker.us-east-1.api.aws"],
    ["us-gov-west-1", true, "https://job-runtime.sagemaker-fips.us-gov-west-1.api.aws"],
    ["cn-north-1", false, "https://job-runtime.sagemaker.cn-north-1.api.amazonwebservices.com.cn"],
  ])("gives %s (FIPS %s) the endpoint %s", (region, fips, origin) => {
    const host = origin.replace("https://", "");
    expect(resolveEndpoint({ region, fips })).toEqual({ origin, host, basePath: "", region });
  });

  it("keeps a configured endpoint's port and path, without the slash at the end", () => {
    expect(
      resolveEndpoint({ region: "us-east-1", endpoint: "http://127.0.0.1:8485/a/b/" }),
    ).toEqual({
      origin: "http://127.0.0.1:8485",
      host: "127.0.0.1:8485",
      basePath: "/a/b",
      region: "us-east-1",
    });
  });

  it("leaves out the port that is the scheme's own, as the Host header does", () => {
    expect(resolveEndpoint({ region: "us-east-1", endpoint: "https://example.com:443" }).host).toBe(
      "example.com",
    );
  });

  it.each([null, undefined, "", "evil.example.com/", "UPPER"])(
    "refuses the region %s and says how to give one, with an endpoint too",
    (region) => {
      const endpoint = "http://127.0.0.1:1";
      const missing = expect.objectContaining({
        code: "invalid_identity",
        message: expect.stringContaining("Set job_runtime.region"),
      });
      expect(() => resolveEndpoint({ region })).toThrow(missing);
      expect(() => resolveEndpoint({ region, endpoint })).toThrow(missing);
    },
  );
});

describe("isServiceHost", () => {
  it.each([
    "https://job-runtime.sagemaker.us-east-1.api.aws",
    "https://job-runtime.sagemaker-fips.us-gov-west-1.api.aws/v1",
    "https://job-runtime.sagemaker.cn-northwest-1.api.amazonwebservices.com.cn",
    "https://JOB-RUNTIME.sagemaker.us-east-1.api.aws:443/",
  ])("believes %s", (url) => {
    expect(isServiceHost(url)).toBe(true);
  });

  it.each([
    "http://job-runtime.sagemaker.us-east-1.api.aws",
    "https://job-runtime.sagemaker.us-east-1.api.aws:8443",
    "https://user@job-runtime.sagemaker.us-east-1.api.aws",
    "https://job-runtime.sagemaker.us-east-1.api.aws.example.com",
    "https://example.com/job-runtime.sagemaker.us-east-1.api.aws",
    "https://job-runtime-sagemaker.us-east-1.api.aws",
    "https://job-runtime.sagemaker.us-east-1xapi.aws",
    "https://job-runtime.sagemaker.evil.api.aws",
    "https://job-runtime.sagemaker.cn-north-1.api.aws",
    "https://job-runtime.sagemaker.us-east-1.api.amazonwebservices.com.cn",
    "https://169.254.169.254/",
    "not a url",
  ])("does not believe %s", (url) => {
    expect(isServiceHost(url)).toBe(false);
  });
});
