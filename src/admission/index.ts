/** The webhook: AdmissionReviews in, answers out, over HTTPS. */

export type { Certificate, CertificateSource } from './certificates/certificate.ts';
export { openClientCa } from './certificates/client-ca.ts';
export { openCertificateFiles } from './certificates/from-files.ts';
export { type SelfSigned, selfSigned } from './certificates/self-signed.ts';
export { type CurrentPolicy, startWebhook, type Webhook, type WebhookOptions } from './webhook.ts';
