/** [model] JobArn, service.md "Protocol": 1-256 characters, the region in the fourth field. */
const jobArnPattern =
  /^arn:aws[a-z-]*:sagemaker:[a-z0-9-]*:[0-9]{12}:job\/[a-zA-Z0-9_-]+\/[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$/;

/** An example for messages. */
export const exampleJobArn =
  "arn:aws:sagemaker:us-east-1:123456789012:job/AgentRFT/my-training-job";

export function isJobArn(text: string): boolean {
  return text.length <= 256 && jobArnPattern.test(text);
}

/** The region a job ARN names; `undefined` where that field is empty. */
export function jobArnRegion(jobArn: string): string | undefined {
  return jobArn.split(":")[3] || undefined;
}
