# syntax=docker/dockerfile:1

# The dependencies, without what only developers need. There is no build: Node runs the TypeScript sources as they are.
FROM node:26.10.0-bookworm-slim AS dependencies
WORKDIR /hotmount
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --no-audit --no-fund

FROM node:26.10.0-bookworm-slim
# What the node's pods call: mount, umount and blkid; file systems that kernels may lack; lxcfs. The webhook needs none of it.
RUN apt-get update -q \
  && apt-get install -qy --no-install-recommends mount util-linux ntfs-3g exfat-fuse lxcfs \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /hotmount
ENV NODE_ENV=production
COPY --from=dependencies /hotmount/node_modules node_modules
COPY package.json LICENSE ./
COPY src src
COPY examples examples
RUN chmod 0755 src/cli.ts && ln -s /hotmount/src/cli.ts /usr/local/bin/hotmount
# The compile cache: a start takes less CPU with it, and less memory. Node keeps one for each user, so it is made by those that run the
# programs, here as there can nothing be written later: by root for the node's (workers fail without their thread, and are compiled by
# then), by user 1000 for the webhook's. Then all is root's, as whoever can write there can change what the program does.
ENV NODE_COMPILE_CACHE=/hotmount/.compile-cache
RUN hotmount node --help && hotmount lxcfs --help \
  && node -e "for (const path of require('node:fs').globSync(['src/{node,linux,observability}/**/*.ts', 'src/commands/open-policy.ts'])) \
    import('/hotmount/' + path).catch(() => {})" \
  && install -d -o 1000 -g 1000 .compile-cache \
  && setpriv --reuid=1000 --regid=1000 --clear-groups sh -ec "hotmount --version; hotmount webhook --help; \
    node -e \"for (const name of ['admission/index', 'admission/certificates/issue', 'kubernetes/index']) import('/hotmount/src/' + name + '.ts'); import('@kubernetes/client-node')\"" \
  && chown -R 0:0 .compile-cache && chmod -R a+rX,go-w .compile-cache
# The image's own unprivileged user, by number: kubelets check runAsNonRoot by it.
USER 1000:1000
# HTTPS, and plain HTTP for metrics and health.
EXPOSE 8443 8080
ENTRYPOINT ["hotmount"]
CMD ["--help"]
