// What stripe-webhook does with `invoice.payment_failed` of an invoice that is stored, as one would
// write it in Node: Stripe's library verifies, the AWS SDK reads the invoice and commits it with the
// event and the inbox row. Beside it the loop that Lambda's Node runtime has.
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html

import http from "node:http";
import { DynamoDBClient, GetItemCommand, TransactWriteItemsCommand } from "@aws-sdk/client-dynamodb";
import { marshall, unmarshall } from "@aws-sdk/util-dynamodb";
import Stripe from "stripe";
import { ulid } from "ulid";

const { INVOICES_TABLE, OUTBOX_TABLE, INBOX_TABLE, STRIPE_WEBHOOK_SECRET, STRIPE_SECRET, STACK_NAME } = process.env;
const DAY = 24 * 60 * 60;
const dynamo = new DynamoDBClient({});
const stripe = new Stripe(STRIPE_SECRET);

const answer = (statusCode, body) => ({
  statusCode,
  headers: { "content-type": "application/json" },
  body: JSON.stringify(body),
});

async function handle(request, requestId) {
  const started = performance.now();
  const body = request.isBase64Encoded ? Buffer.from(request.body, "base64") : request.body;
  let event;
  try {
    event = stripe.webhooks.constructEvent(body, request.headers["stripe-signature"] ?? "", STRIPE_WEBHOOK_SECRET);
  } catch {
    return answer(400, { error: "Invalid signature" });
  }
  const outcome = event.type === "invoice.payment_failed" ? await paymentFailed(event, requestId) : "not_followed";
  log({ event_id: event.id, event_type: event.type, outcome, correlation_id: requestId });
  metric(event.type, outcome, performance.now() - started);
  return answer(200, { status: "success" });
}

async function paymentFailed(event, correlationId) {
  const told = event.data.object;
  const { university_id, invoice_id } = told.metadata;
  const key = marshall({ university_id, invoice_id });
  const found = await dynamo.send(new GetItemCommand({ TableName: INVOICES_TABLE, Key: key, ConsistentRead: true }));
  if (!found.Item) throw new Error(`invoice ${told.id} is not stored`);
  const invoice = unmarshall(found.Item);
  if (!["open", "failed", "action_required"].includes(invoice.status) || told.attempt_count <= invoice.attempt_count) {
    return "ignored";
  }
  const now = new Date().toISOString();
  const fixed = now.replace("Z", "000Z");
  const next = {
    ...invoice,
    status: "failed",
    attempt_count: told.attempt_count,
    version: invoice.version + 1,
    updated_at: fixed,
  };
  const eventId = ulid();
  const nextAttempt = told.next_payment_attempt;
  const detail = {
    event_id: eventId,
    version: 1,
    occurred_at: now,
    aggregate_id: invoice_id,
    university_id,
    aggregate_version: next.version,
    actor: { kind: "stripe", id: event.id },
    correlation_id: correlationId,
    type: "PaymentFailed",
    data: {
      invoice_id,
      stripe_invoice_id: told.id,
      invoice_number: next.number ?? null,
      amount_due: { amount: next.amount_due, currency: next.currency },
      attempt_count: next.attempt_count,
      next_attempt_at: nextAttempt ? new Date(nextAttempt * 1000).toISOString() : null,
      hosted_invoice_url: next.hosted_invoice_url ?? null,
    },
  };
  const outbox = {
    event_id: eventId,
    occurred_at: fixed,
    pending: String(Math.floor(Math.random() * 4)),
    detail_type: "PaymentFailed",
    detail: JSON.stringify(detail),
  };
  const inbox = {
    consumer: "stripe-webhook",
    message_id: event.id,
    state: "settled",
    expires_at: Math.floor(Date.now() / 1000) + 31 * DAY,
  };
  const put = (TableName, row, more) => ({ Put: { TableName, Item: marshall(row), ...more } });
  const absent = (key) => ({
    ConditionExpression: "attribute_not_exists(#key)",
    ExpressionAttributeNames: { "#key": key },
  });
  await dynamo.send(
    new TransactWriteItemsCommand({
      TransactItems: [
        put(INVOICES_TABLE, next, {
          ConditionExpression: "#version = :version",
          ExpressionAttributeNames: { "#version": "version" },
          ExpressionAttributeValues: marshall({ ":version": invoice.version }),
        }),
        put(OUTBOX_TABLE, outbox, absent("event_id")),
        put(INBOX_TABLE, inbox, absent("message_id")),
      ],
    }),
  );
  return "applied";
}

function log(fields) {
  console.log(JSON.stringify({ timestamp: new Date().toISOString(), level: "INFO", ...fields }));
}

/** CloudWatch's embedded metric format. */
function metric(type, outcome, took) {
  const metrics = [{ Name: "Webhooks", Unit: "Count" }, { Name: "RequestDuration", Unit: "Milliseconds" }];
  const CloudWatchMetrics = [{ Namespace: "Bitflow", Dimensions: [["Stack", "Type", "Outcome"]], Metrics: metrics }];
  const values = { Stack: STACK_NAME, Type: type, Outcome: outcome, Webhooks: 1, RequestDuration: took };
  console.log(JSON.stringify({ _aws: { Timestamp: Date.now(), CloudWatchMetrics }, ...values }));
}

// `host:port` on Lambda; locally a whole URL, with a path for each process.
const runtimeApi = process.env.AWS_LAMBDA_RUNTIME_API.replace(/^http:\/\//, "");
const [host, ...folder] = runtimeApi.split("/");
const [hostname, port] = host.split(":");
const agent = new http.Agent({ keepAlive: true });

function call(method, path, body) {
  const url = `${folder.length ? `/${folder.join("/")}` : ""}/2018-06-01/runtime/${path}`;
  return new Promise((resolve, reject) => {
    const request = http.request({ hostname, port, path: url, method, agent }, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("end", () => resolve({ headers: response.headers, body: Buffer.concat(chunks).toString() }));
    });
    request.on("error", reject);
    request.end(body);
  });
}

async function run() {
  for (;;) {
    const invocation = await call("GET", "invocation/next");
    const requestId = invocation.headers["lambda-runtime-aws-request-id"];
    try {
      const answered = await handle(JSON.parse(invocation.body), requestId);
      await call("POST", `invocation/${requestId}/response`, JSON.stringify(answered));
    } catch (error) {
      log({ level: "ERROR", message: String(error) });
      const failed = { errorType: error.name, errorMessage: error.message };
      await call("POST", `invocation/${requestId}/error`, JSON.stringify(failed));
    }
  }
}

run();
