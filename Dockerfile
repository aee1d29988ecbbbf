# syntax=docker/dockerfile:1

# Plain JavaScript with the dependencies in it, but for the one with native code.
FROM node:26.10.0-bookworm-slim AS build
ARG HOTMOUNT_COMMIT
WORKDIR /hotmount
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tools tools
COPY examples examples
COPY src src
RUN npm run --silent build && npm ci --omit=dev --ignore-scripts --no-audit --no-fund

FROM node:26.10.0-bookworm-slim
# What the node's pods call: mount, umount and blkid; file systems that kernels may lack; lxcfs. The webhook needs none of it.
RUN apt-get update -q \
  && apt-get install -qy --no-install-recommends mount util-linux ntfs-3g exfat-fuse lxcfs \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /hotmount
ENV NODE_ENV=production
COPY package.json LICENSE ./
COPY --from=build /hotmount/node_modules node_modules
COPY --from=build /hotmount/dist dist
COPY examples examples
RUN ln -s /hotmount/dist/cli.js /usr/local/bin/hotmount
# The image's own unprivileged user, by number: kubelets check runAsNonRoot by it.
USER 1000:1000
# HTTPS, and plain HTTP for metrics and health.
EXPOSE 8443 8080
ENTRYPOINT ["hotmount"]
CMD ["--help"]
LABEL org.opencontainers.image.title="hotmount" org.opencontainers.image.licenses="Apache-2.0"
