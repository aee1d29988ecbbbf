/** The webhook: AdmissionReviews in, answers out, over HTTPS. */
export { type CertificateFiles, openCertificateFiles } from './certificate-files.ts';
export { type Certificate, CertificateError, type CertificateSource } from './certificates.ts';
export { ListenError } from './listen.ts';
export { parseServiceName, type ServiceName } from './names.ts';
export { type SelfSigned, selfSigned } from './self-signed.ts';
export { type CurrentPolicy, startWebhook, type Webhook, type WebhookOptions } from './webhook.ts';
