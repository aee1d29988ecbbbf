# syntax=docker/dockerfile:1

# The dependencies, without what only developers need. There is no build: Node runs the TypeScript sources as they are.
FROM node:26-bookworm-slim AS dependencies
WORKDIR /hotmount
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --no-audit --no-fund

FROM node:26-bookworm-slim
WORKDIR /hotmount
ENV NODE_ENV=production
COPY --from=dependencies /hotmount/node_modules node_modules
COPY package.json LICENSE ./
COPY src src
RUN chmod 0755 src/cli.ts && ln -s /hotmount/src/cli.ts /usr/local/bin/hotmount
# The image's own unprivileged user, by number: kubelets check runAsNonRoot by it.
USER 1000:1000
# HTTPS, and plain HTTP for metrics and health.
EXPOSE 8443 8080
ENTRYPOINT ["hotmount"]
CMD ["--help"]
