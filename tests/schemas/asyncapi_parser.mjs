// Print what the official parser finds wrong in a document, as JSON.
import { Parser, fromFile } from "@asyncapi/parser";

const { document, diagnostics } = await fromFile(new Parser(), process.argv[2]).parse();
const problems = diagnostics.map((each) => `${each.code} ${each.path.join(".")}`);
const operations = document ? document.allOperations().all() : [];
const messages = document ? document.allMessages().all() : [];
console.log(
  JSON.stringify({
    problems,
    operations: operations.map((each) => [each.action(), each.channels().all()[0].address()]),
    messages: messages.map((each) => each.name()),
  }),
);
