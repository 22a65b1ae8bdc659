/**
 * The Job Runtime service on this machine: composition and listener. Everything in and out is described in
 * service.md; what is only our reading is marked [inferred] where it is decided.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { createControl } from "./control.ts";
import { EventLog, type SimulatorEvent } from "./events.ts";
import { ConnectionCut, Exchange } from "./exchange.ts";
import type { FaultRule } from "./fault-rules.ts";
import { Faults } from "./faults.ts";
import { simulatorLimits } from "./limits.ts";
import { type Operation, operationPaths } from "./members.ts";
import { createModel, type ModelOptions } from "./models/create-model.ts";
import { type OperationsOptions, runOperation, type StreamOptions } from "./operations.ts";
import { ServiceError, serviceErrorBody } from "./service-error.ts";
import { createStats, type SimulatorStats } from "./stats.ts";
import { Trajectories, type TrajectorySnapshot, type UnknownTrajectory } from "./trajectories.ts";
import { createTurnLog } from "./turn-log.ts";
import { exportTurn } from "./turns.ts";
import { createSignatureVerifier, type SimulatorCredentials } from "./verify-signature.ts";

/** A pino logger, or anything with these two. */
export interface SimulatorLog {
  info(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface SimulatorOptions {
  /** Default `127.0.0.1`. */
  readonly host?: string;
  /** Default 8485; 0 takes a free port. */
  readonly port?: number;
  /** The region credential scopes must name. Default `us-east-1`. */
  readonly region?: string;
  /** Who may call. At least one. */
  readonly credentials: readonly SimulatorCredentials[];
  /** Epoch milliseconds. Default `Date.now`. */
  readonly clock?: () => number;
  readonly stream?: StreamOptions;
  /** Default: the scripted model without a script. */
  readonly model?: ModelOptions;
  /** Faults in force from the start. */
  readonly faults?: readonly FaultRule[];
  /** Decides which requests a fault's probability hits. Default 1. */
  readonly faultSeed?: number;
  /** Folder for `turns.jsonl`, made if need be; without it turns are in memory only. */
  readonly stateDir?: string;
  /** Default true; false: only the jobs in `jobs` exist. */
  readonly acceptUnknownJobs?: boolean;
  readonly jobs?: readonly string[];
  /** What CompleteRollout and UpdateReward do for a trajectory never seen. Default `create` [inferred]. */
  readonly unknownTrajectory?: UnknownTrajectory;
  /** Trajectories kept in memory. Default 20,000. */
  readonly maxTrajectories?: number;
  /** Turns kept in memory, over all trajectories. Default 100,000. */
  readonly maxTurns?: number;
  /** Request and response bytes kept in memory. Default 128 MiB; 0 keeps none. */
  readonly maxKeptBodyBytes?: number;
  /** Host names, besides loopback and IP addresses, by which the control endpoints may be called. */
  readonly allowedHosts?: readonly string[];
  readonly log?: SimulatorLog;
}

export interface Simulator extends AsyncDisposable {
  /** `http://127.0.0.1:8485`, without a slash at the end. */
  readonly url: string;
  readonly port: number;
  /** Every trajectory in memory. */
  trajectories(): readonly TrajectorySnapshot[];
  trajectory(jobArn: string, trajectoryId: string): TrajectorySnapshot | undefined;
  /** Puts these faults in force in place of the former; throws when one is not a rule. */
  setFaults(rules: readonly FaultRule[]): void;
  stats(): SimulatorStats;
  /**
   * The first event of this type since the start or the last reset that `where` holds for, at once if it
   * was already, else when it happens. Rejects on `reset()` and `close()`.
   */
  readonly waitFor: EventLog["waitFor"];
  /** Everything that happened since the start or the last reset, in order (the newest ones). */
  events(): readonly SimulatorEvent[];
  /** Calls back with every event from now on, until the returned function is called. */
  subscribe(listener: (event: SimulatorEvent) => void): () => void;
  /** Forgets trajectories, tokens, faults, events and counts; requests under way go on. */
  reset(): void;
  /** Ends every connection and frees the port; nothing is left running. */
  close(): Promise<void>;
}

/** Starts a simulator; resolves when it listens, rejects when an option is wrong or the port is taken. */
export async function startSimulator(options: SimulatorOptions): Promise<Simulator> {
  const parts = await createParts(options);
  const exchanges = new Set<Exchange>();
  const tasks = new Set<Promise<void>>();
  const control = createControl({ ...parts, allowedHosts: allowedHosts(options) });
  const server = createServer((request, response) => {
    const task = (
      request.url?.startsWith("/_simulator/") === true
        ? control(request, response)
        : serve({ request, response, parts, exchanges })
    ).finally(() => tasks.delete(task));
    tasks.add(task);
  });
  server.keepAliveTimeout = simulatorLimits.keepAliveTimeoutMs;
  const host = options.host ?? "127.0.0.1";
  const release = async (): Promise<void> => {
    await parts.turnLog.close();
    await parts.model.close?.();
  };
  const port = await listen(server, options.port ?? 8485, host).catch(async (error: unknown) => {
    await release();
    throw error;
  });
  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    const closed = new Promise((resolve) => server.close(resolve));
    for (const exchange of exchanges) exchange.close();
    server.closeAllConnections();
    await closed;
    await Promise.allSettled(tasks);
    parts.events.clear("The simulator was closed.");
    await release();
  };
  const closeOnce = (): Promise<void> => (closing ??= close());
  return {
    url: `http://${host.includes(":") ? `[${host}]` : host}:${port}`,
    port,
    ...inspection(parts),
    close: closeOnce,
    [Symbol.asyncDispose]: closeOnce,
  };
}

/** Resolves with the port once the server listens. */
async function listen(server: Server, port: number, host: string): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });
  return (server.address() as AddressInfo).port;
}

type Parts = Awaited<ReturnType<typeof createParts>>;

async function createParts(options: SimulatorOptions) {
  if (options.credentials.length === 0) throw new Error("The simulator needs credentials.");
  const clock = options.clock ?? Date.now;
  const region = options.region ?? "us-east-1";
  const { jobs, ...others } = options;
  const trajectories = new Trajectories({
    ...others,
    clock,
    ...(options.acceptUnknownJobs === false ? { jobs: jobs ?? [] } : {}),
  });
  const events = new EventLog();
  const stats = createStats(events, trajectories);
  return {
    clock,
    log: options.log,
    events,
    stats,
    trajectories,
    faults: new Faults(options.faults ?? [], options.faultSeed ?? 1),
    verify: createSignatureVerifier({
      credentials: options.credentials,
      region,
      service: "sagemaker",
    }),
    model: await createModel(options.model ?? { kind: "scripted" }, clock),
    stream: {
      wire: options.stream?.wire ?? "eventstream",
      sliceBytes: options.stream?.sliceBytes ?? 0,
      eventDelayMs: options.stream?.eventDelayMs ?? 0,
    } as const,
    turnLog: await createTurnLog(options.stateDir),
  };
}

function inspection(parts: Parts) {
  const { events, trajectories, faults, stats } = parts;
  return {
    trajectories: () => [...trajectories.snapshots()],
    trajectory: (jobArn: string, trajectoryId: string) =>
      trajectories.snapshot({ jobArn, trajectoryId }),
    setFaults: (rules: readonly FaultRule[]) => faults.set(rules),
    stats: () => stats.snapshot(),
    waitFor: events.waitFor.bind(events) as EventLog["waitFor"],
    events: () => events.events(),
    subscribe: (listener: (event: SimulatorEvent) => void) => events.subscribe(listener),
    reset: () => {
      trajectories.clear();
      faults.set([]);
      stats.clear();
      events.clear("The simulator was reset.");
    },
  };
}

interface Service {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly parts: Parts;
  readonly exchanges: Set<Exchange>;
}

/** One request to the service, to the end of its response. Never rejects. */
async function serve({ request, response, parts, exchanges }: Service): Promise<void> {
  const operation = operationOf(request);
  const exchange = new Exchange({
    request,
    response,
    // An unknown path has no operation; its answer is the same for all.
    operation: operation ?? "Sample",
    clock: parts.clock,
    record: (event) => {
      if (operation !== undefined) parts.events.record(event);
    },
  });
  exchanges.add(exchange);
  try {
    await exchange.readBody();
    if (operation === undefined) throw unknownOperation(request);
    await runOperation(exchange, operationOptions(parts));
  } catch (error) {
    await answerError(exchange, error, parts);
  } finally {
    await exchange.finish();
    exchanges.delete(exchange);
    parts.log?.info(
      { operation, requestId: exchange.requestId, ...exchange.key, faults: exchange.injected },
      "simulator answered",
    );
  }
}

function operationOptions(parts: Parts): OperationsOptions {
  return {
    ...parts,
    turnFinished: (turn) => parts.turnLog.append(exportTurn(turn)),
  };
}

async function answerError(exchange: Exchange, error: unknown, parts: Parts): Promise<void> {
  if (error instanceof ConnectionCut) return;
  const known =
    error instanceof ServiceError
      ? error
      : new ServiceError("InternalServiceError", "The simulator failed.", { cause: error });
  if (known !== error) parts.log?.error({ err: error }, "simulator failed");
  parts.stats.countError(known.type);
  try {
    const body = Buffer.from(known.html ?? serviceErrorBody(known));
    exchange.begin(known.status, {
      ...known.headers,
      "content-type": known.html === undefined ? "application/json" : "text/html",
      "content-length": body.length,
      ...(known.html === undefined ? { "x-amzn-errortype": known.type } : {}),
    });
    await exchange.write(body);
    await exchange.end();
  } catch (thrown) {
    // The client left, or headers were out already: then all that is left is to cut the connection.
    if (!(thrown instanceof ConnectionCut)) exchange.close();
  }
}

function operationOf(request: IncomingMessage): Operation | undefined {
  if (request.method !== "POST") return;
  const path = request.url?.split("?", 1)[0];
  const names = Object.keys(operationPaths) as Operation[];
  return names.find((name) => operationPaths[name] === path);
}

function unknownOperation(request: IncomingMessage): ServiceError {
  return new ServiceError(
    "UnknownOperationException",
    `There is no operation at ${request.method} ${request.url}.`,
  );
}

function allowedHosts(options: SimulatorOptions): readonly string[] {
  return [...(options.allowedHosts ?? []), ...(options.host === undefined ? [] : [options.host])];
}
