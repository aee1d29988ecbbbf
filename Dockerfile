# syntax=docker/dockerfile:1
# Two images: `--target webhook` is Node and the program alone; the last stage, for the node's pods and everything else, has a Debian
# with what those call.

# The program is the same on every architecture, and built on the builder's own; koffi brings native code for the one that the image is for.
FROM --platform=$BUILDPLATFORM node:26.10.0-bookworm-slim AS build
WORKDIR /hotmount
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tools tools
COPY examples examples
COPY src src
ARG TARGETARCH HOTMOUNT_COMMIT
RUN npm run --silent build \
  && npm ci --omit=dev --ignore-scripts --no-audit --no-fund --os=linux --libc=glibc --cpu="$(echo "$TARGETARCH" | sed s/amd64/x64/)" \
  && rm -rf node_modules/.package-lock.json node_modules/@koromix/*/musl*

# Node without its symbols, a fifth of it, and the libraries that it is linked to.
FROM node:26.10.0-bookworm-slim AS runtime
RUN apt-get update -q && apt-get install -qy --no-install-recommends binutils ca-certificates \
  && install -D /usr/local/bin/node /runtime/usr/local/bin/node \
  && strip /runtime/usr/local/bin/node \
  && for library in $(ldd /usr/local/bin/node | grep -o '/[^ ]*'); do install -D "$library" "/runtime$library"; done \
  && install -D -m 0644 /etc/ssl/certs/ca-certificates.crt /runtime/etc/ssl/certs/ca-certificates.crt

FROM scratch AS webhook
COPY --from=runtime /runtime /
WORKDIR /hotmount
COPY package.json LICENSE ./
COPY --from=build /hotmount/dist dist
COPY examples examples
ENV NODE_ENV=production MALLOC_ARENA_MAX=1 MALLOC_MMAP_THRESHOLD_=16384 MALLOC_TRIM_THRESHOLD_=65536
# An unprivileged user, by number: kubelets check runAsNonRoot by it.
USER 1000:1000
# HTTPS, and plain HTTP for metrics and health.
EXPOSE 8443 8080
# As the first line of the program has it: there is no /usr/bin/env.
ENTRYPOINT ["/usr/local/bin/node", "--max-semi-space-size=2", "/hotmount/dist/cli.js"]
CMD ["--help"]
LABEL org.opencontainers.image.title="hotmount webhook" org.opencontainers.image.licenses="Apache-2.0"

# Which lxcfs fits depends on the node's cgroups: 7.0 knows v2 only, 6.0 v1 too. `hotmount lxcfs` finds out where it runs.
FROM --platform=$BUILDPLATFORM debian:bookworm-slim AS lxcfs
ARG TARGETARCH
COPY image image
RUN for suite in sid trixie; do image/unpack-lxcfs $suite /opt/lxcfs/$suite "$TARGETARCH" || exit 1; done

FROM debian:bookworm-slim AS node
# mount, umount and blkid; file systems that kernels may lack; an lxcfs for where no namespaces can be made; what Node is linked to.
RUN apt-get update -q \
  && apt-get install -qy --no-install-recommends mount util-linux ntfs-3g exfat-fuse lxcfs libatomic1 libstdc++6 \
  && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/cache/debconf /var/log/*
COPY --from=lxcfs /opt/lxcfs /opt/lxcfs
COPY --from=runtime /runtime/usr/local/bin/node /usr/local/bin/node
WORKDIR /hotmount
COPY package.json LICENSE ./
COPY --from=build /hotmount/node_modules node_modules
COPY --from=build /hotmount/dist dist
COPY examples examples
# Without the file, mount(8) takes SELinux for switched off and leaves labels out (libselinux, is_selinux_enabled).
RUN ln -s /hotmount/dist/cli.js /usr/local/bin/hotmount \
  && mkdir -p /etc/selinux && touch /etc/selinux/config
ENV NODE_ENV=production PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
USER 1000:1000
EXPOSE 8443 8080
ENTRYPOINT ["hotmount"]
CMD ["--help"]
LABEL org.opencontainers.image.title="hotmount" org.opencontainers.image.licenses="Apache-2.0"
