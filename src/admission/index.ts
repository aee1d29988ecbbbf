/** The webhook: AdmissionReviews in, answers out, over HTTPS. */
export { openCertificateFiles } from './certificate-files.ts';
export type { Certificate, CertificateSource } from './certificates.ts';
export { type SelfSigned, selfSigned } from './self-signed.ts';
export { type CurrentPolicy, startWebhook, type Webhook, type WebhookOptions } from './webhook.ts';
