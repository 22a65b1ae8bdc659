# Pin both by digest where a registry can be reached, e.g. --build-arg NODE_IMAGE=…@sha256:…
ARG NODE_IMAGE=docker.io/library/node:24-trixie-slim
ARG RUNTIME_IMAGE=gcr.io/distroless/nodejs24-debian13:nonroot

FROM --platform=${BUILDPLATFORM} ${NODE_IMAGE} AS build
WORKDIR /build
COPY package.json package-lock.json ./
RUN --mount=type=cache,target=/root/.npm npm ci --ignore-scripts --no-audit --no-fund
COPY scripts ./scripts
COPY src ./src
RUN npm run build && mkdir compile-cache

# A run of the program as the user, with the node and the flags of the last stage: all of them are part
# of what node's compile cache is looked up by.
FROM ${RUNTIME_IMAGE} AS warm
COPY --from=build /build/dist /app/dist
COPY --from=build /build/scripts/image/warm.ts /warm/warm.ts
COPY --from=build --chown=65532:65532 /build/compile-cache /app/compile-cache
ENV NODE_COMPILE_CACHE=/app/compile-cache
USER 65532:65532
RUN ["/nodejs/bin/node", "/warm/warm.ts", "/nodejs/bin/node", "--max-semi-space-size=4", "--max-old-space-size-percentage=75", "--enable-source-maps", "--disable-sigusr1", "/app/dist/turnpike.js"]

FROM ${RUNTIME_IMAGE}
ARG VERSION=0.0.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="turnpike" \
      org.opencontainers.image.description="OpenAI-compatible proxy for Amazon SageMaker AI multi-turn reinforcement learning" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
# Owned by root: the program can change neither its code nor the cache of it.
COPY --from=build /build/dist /app/dist
COPY --from=warm --chown=0:0 /app/compile-cache /app/compile-cache
COPY LICENSE /app/LICENSE
ENV NODE_ENV=production \
    NODE_COMPILE_CACHE=/app/compile-cache
USER 65532:65532
WORKDIR /app
EXPOSE 8484 8486
STOPSIGNAL SIGTERM
ENTRYPOINT ["/nodejs/bin/node", "--max-semi-space-size=4", "--max-old-space-size-percentage=75", "--enable-source-maps", "--disable-sigusr1", "/app/dist/turnpike.js"]
CMD ["serve"]
