// AsyncAPI's own parser must accept schemas/asyncapi.yaml: no error, and no warning either.
// usage: asyncapi_test.cjs SCHEMAS_DIR
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const {Parser, fromFile} = require('@asyncapi/parser');

// That the parser looks at the Kafka bindings at all: it must refuse one that breaks their schema.
async function refusesNonsense(parser, directory) {
  const source = path.join(directory, 'asyncapi.yaml');
  const nonsense = fs.readFileSync(source, 'utf8').replace('partitions: 12', 'partitions: many');
  const {document} = await parser.parse(nonsense, {source});
  return document === undefined;
}

async function main(directory) {
  const parser = new Parser();
  if (!await refusesNonsense(parser, directory)) {
    console.error('the parser accepts a channel with "many" partitions: this test tests nothing');
    return 1;
  }
  const {document, diagnostics} =
      await fromFile(parser, path.join(directory, 'asyncapi.yaml')).parse();
  const kWarning = 1;  // 0 error, 1 warning, 2 information, 3 hint
  const serious = diagnostics.filter((diagnostic) => diagnostic.severity <= kWarning);
  for (const {severity, message, range, path: where} of serious) {
    console.error(`severity ${severity}, line ${range.start.line + 1}, ${where.join('.')}: ${message}`);
  }
  if (!document || serious.length > 0) return 1;

  // What the parser does not ask for: each channel says how its topic is made and what its key is.
  for (const channel of document.channels()) {
    const kafka = channel.bindings().get('kafka').value();
    const message = channel.messages().all()[0];
    const key = message.bindings().get('kafka').value().key;
    if (kafka.topic !== channel.address() || kafka.partitions !== 12 || !key.description) {
      console.error(`${channel.id()}: topic, partitions or key do not stand in its bindings`);
      return 1;
    }
    if (!message.headers().properties().ce_type) {
      console.error(`${channel.id()}: the headers are not described`);
      return 1;
    }
  }
  console.log(`${document.channels().length} channels, ${diagnostics.length} remarks`);
  for (const {message} of diagnostics) console.log(`  ${message}`);
  return 0;
}

main(process.argv[2]).then((code) => process.exit(code), (error) => {
  console.error(error);
  process.exit(1);
});
