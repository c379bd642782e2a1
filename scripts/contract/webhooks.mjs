// Checks the requests that webhooks.py received with the package standardwebhooks from npm: webhooks.mjs FILE
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const require = createRequire(`${process.env.NODE_PATH}/`);
const { Webhook } = require("standardwebhooks");
const { secrets, requests } = JSON.parse(readFileSync(process.argv[2], "utf8"));
for (const { headers, body } of requests) {
    for (const secret of secrets) {
        new Webhook(secret).verify(body, headers);
    }
    let isTaken = true;
    try {
        new Webhook(secrets[0]).verify(`${body} `, headers);
    } catch {
        isTaken = false;
    }
    if (isTaken) throw new Error("a changed body is taken");
}
console.log(`TypeScript: ${requests.length} requests are signed`);
