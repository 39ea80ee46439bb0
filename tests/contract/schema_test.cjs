// The JSON Schemas and the codec must say the same. ajv, which knows nothing of ours, compiles each
// schema in its strict mode and must accept the golden value; then every member of that value is
// removed, given every wrong type, and moved to and over the edges of its rule, and each time ajv and
// the codec (events_tool) must agree whether the event is in order.
// usage: schema_test.cjs SCHEMAS_DIR EVENTS_TOOL
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const {spawnSync} = require('node:child_process');
const Ajv2020 = require('ajv/dist/2020');
const addFormats = require('ajv-formats');

const [directory, tool] = process.argv.slice(2);
const ajv = new Ajv2020({strict: true, allowUnionTypes: true, allErrors: false});
addFormats(ajv);

// What a schema's member may be changed to. Strings are ASCII, since a schema counts characters
// where the codec counts bytes, and hex is lower case, since the codec takes what it then lowers.
function candidates(schema, value) {
  const list = [null, true, 0, -1, 1, 7, 1.5, 1e99, '', 'x', '5', {}, [], [1], {a: 1}];
  for (const edge of [schema.minimum, schema.maximum]) {
    if (Number.isSafeInteger(edge)) list.push(edge - 1, edge, edge + 1);
  }
  for (const edge of [schema.minLength, schema.maxLength]) {
    if (edge !== undefined) list.push('y'.repeat(Math.max(0, edge - 1)), 'y'.repeat(edge), 'y'.repeat(edge + 1));
  }
  if (typeof value === 'string') {
    list.push(value, value + '0', value.slice(1), value.slice(0, -1), value + '\u0000', ' ' + value);
  }
  for (const choice of schema.enum ?? []) list.push(choice, choice + 's');
  if (Array.isArray(value)) list.push(value.slice(1), [...value, ...value], [...value, null]);
  return list;
}

// Calls visit(schema of the member, value, replace(newValue) -> whole event) for each member, deep.
function* members(schema, value, rebuild) {
  for (const [name, memberSchema] of Object.entries(schema.properties ?? {})) {
    const replace = (changed) => {
      const copy = {...value};
      if (changed === undefined) delete copy[name]; else copy[name] = changed;
      return rebuild(copy);
    };
    const current = value[name];
    yield {schema: memberSchema, value: current, replace};
    if (memberSchema.properties && current) yield* members(memberSchema, current, replace);
    if (memberSchema.items && current?.length) {
      const replaceElement = (changed) => replace([changed, ...current.slice(1)]);
      yield {schema: memberSchema.items, value: current[0], replace: (v) => replaceElement(v ?? null)};
      if (memberSchema.items.properties) yield* members(memberSchema.items, current[0], replaceElement);
    }
  }
}

const lines = [];
const verdicts = [];
function ask(topic, validate, event) {
  const json = JSON.stringify(event);
  lines.push(`${topic}\t${json}`);
  verdicts.push(validate(JSON.parse(json)));
}

let topics = 0;
for (const file of fs.readdirSync(directory).filter((name) => name.endsWith('.schema.json'))) {
  const topic = file.slice(0, -'.schema.json'.length);
  const schema = JSON.parse(fs.readFileSync(path.join(directory, file), 'utf8'));
  const validate = ajv.compile(schema);
  const golden = JSON.parse(fs.readFileSync(path.join(directory, 'golden', topic + '.json'), 'utf8'));
  if (!validate(golden)) {
    console.error(`${topic}: its golden value breaks its schema: ${ajv.errorsText(validate.errors)}`);
    process.exit(1);
  }
  ++topics;
  ask(topic, validate, golden);
  ask(topic, validate, {...golden, something_unknown: [1]});
  for (const other of [[], null, 1, 'x']) ask(topic, validate, other);
  for (const {schema: member, value, replace} of members(schema, golden, (event) => event)) {
    ask(topic, validate, replace(undefined));
    for (const candidate of candidates(member, value)) ask(topic, validate, replace(candidate));
  }
}

const run = spawnSync(tool, {input: lines.join('\n') + '\n', encoding: 'utf8', maxBuffer: 1 << 28});
if (run.status !== 0) throw new Error(`events_tool failed: ${run.stderr}`);
const answers = run.stdout.trimEnd().split('\n');
let wrong = 0;
let refused = 0;
answers.forEach((answer, i) => {
  if (answer !== 'ok') ++refused;
  if ((answer === 'ok') === verdicts[i]) return;
  if (++wrong <= 20) console.error(`${lines[i].slice(0, 400)}\n  codec: ${answer}\n  schema: ${verdicts[i] ? 'ok' : 'refused'}`);
});
if (answers.length !== lines.length || wrong > 0) {
  console.error(`${wrong} of ${lines.length} events are judged differently by schema and codec`);
  process.exit(1);
}
if (refused === 0 || refused === answers.length) throw new Error('the test asked nothing');
console.log(`${topics} events, ${lines.length} variants: ${lines.length - refused} accepted and ${refused} refused by both`);
