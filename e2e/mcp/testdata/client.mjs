// An agent that knows a URL, with the TypeScript SDK. It writes lines of JSON, and reads where
// the browser was sent back to, and then the tools that it is to call, one in a line.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const from = createRequire(process.env.MODULES + "/");
const load = (name) => import(pathToFileURL(from.resolve("@modelcontextprotocol/sdk/" + name)).href);
const { Client } = await load("client/index.js");
const { StreamableHTTPClientTransport } = await load("client/streamableHttp.js");
const { UnauthorizedError } = await load("client/auth.js");

const callback = process.env.CALLBACK;
const url = new URL(process.argv[2]);
const tell = (line) => console.log(JSON.stringify(line));
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const read = async () => (await lines.next()).value ?? "";

const kept = { client: process.env.CLIENT_ID ? { client_id: process.env.CLIENT_ID } : undefined };
const provider = {
  redirectUrl: callback,
  clientMetadata: {
    client_name: "agent", redirect_uris: [callback], token_endpoint_auth_method: "none",
    grant_types: ["authorization_code", "refresh_token"], response_types: ["code"],
  },
  clientInformation: () => kept.client,
  saveClientInformation: (client) => { kept.client = client; },
  tokens: () => kept.tokens,
  saveTokens: (tokens) => { kept.tokens = tokens; },
  redirectToAuthorization: (to) => { tell({ authorize: to.href }); },
  saveCodeVerifier: (verifier) => { kept.verifier = verifier; },
  codeVerifier: () => kept.verifier,
};

let transport;
// The SDK leaves going on after the redirect to the application.
async function authorized(act) {
  for (;;) {
    try {
      return await act();
    } catch (problem) {
      if (!(problem instanceof UnauthorizedError)) throw problem;
      await transport.finishAuth(new URL(await read()).searchParams.get("code"));
    }
  }
}

let client;
await authorized(async () => {
  client = new Client({ name: "agent", version: "1" });
  transport = new StreamableHTTPClientTransport(url, { authProvider: provider });
  await client.connect(transport);
});
const tools = async () => (await client.listTools()).tools.map((tool) => tool.name).sort();
tell({ tools: await tools() });
for (let name; (name = await read()); ) {
  try {
    if (name === "tools/list") {
      tell({ tools: await tools() });
      continue;
    }
    tell({ text: (await authorized(() => client.callTool({ name, arguments: { id: "1" } }))).content[0].text });
  } catch (problem) {
    tell({ problem: String(problem) });
  }
}
await client.close();
