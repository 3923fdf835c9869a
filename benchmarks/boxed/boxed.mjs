// DCC's own libraries as the client of the simulated DCC: @smartdcc/duis-parser
// builds requests and reads answers, the jar of @smartdcc/duis-sign-wrap signs
// and validates every document, @smartdcc/dccboxed-keystore finds the devices'
// certificates. Nothing here is of this project but the simulator, which runs on
// DCC's public ZAZ1 test set. It writes every answer in another form than compactly (XML
// declarations, unused namespaces, folded base64, byte order marks), names certificates by
// hexadecimal serials as DCC does, and sends other traffic to the same inbox: DCC's own
// software must take all of it.
//
//   node benchmarks/boxed/boxed.mjs [PATH OF THE safemode BINARY]
//
// Without a path the binary is built with go. Needs node 20, npm, java and
// loopback; the packages go to a temporary folder. It prints a line for each
// step and exits with 1 at the first that fails.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import * as gbcs from './gbcs.mjs';

const run = promisify(execFile);
// The jar is started for every document: what matters is how fast Java starts.
process.env.JAVA_TOOL_OPTIONS ??= '-XX:TieredStopAtLevel=1 -XX:+UseSerialGC';
const packages = ['@smartdcc/duis-parser@0.6.0', '@smartdcc/duis-sign-wrap@0.1.2', '@smartdcc/dccboxed-keystore@0.4.2'];
const dccEUI = '90-B3-D5-1F-30-00-00-02';
const supplier = '90-B3-D5-1F-30-01-00-00';
const networkOperator = '90-B3-D5-1F-30-02-00-00';
const speed = 1800; // a gas meter wakes once a second
const patience = 60_000; // ms for an answer, on a busy machine
const started = Date.now();

const scratch = await mkdtemp(join(tmpdir(), 'safemode-boxed-'));
let simulator;
let inbox;
let keystore;
async function main() {
  await step(`npm install ${packages.join(' ')}`, () =>
    run('npm', ['install', '--silent', '--no-audit', '--no-fund', '--prefix', scratch, ...packages]));
  const load = createRequire(join(scratch, 'package.json'));
  const dcc = {
    ...load('@smartdcc/duis-parser'), ...load('@smartdcc/duis-sign-wrap'), ...load('@smartdcc/dccboxed-keystore'),
  };
  const safemode = process.argv[2] ? resolve(process.argv[2]) : join(scratch, 'safemode');
  if (!process.argv[2]) {
    const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
    await step('go build ./cmd/safemode', () => run('go', ['build', '-C', root, '-o', safemode, './cmd/safemode']));
  }
  const keys = await step('the ZAZ1 set as a PKI folder', () => writePKI(dcc.defaultBackingFile ??
    join(dirname(load.resolve('@smartdcc/dccboxed-keystore')), '..', 'keystore.json')));
  const devices = await step('a fleet with one meter of each fuel to switch', () => writeFleet(safemode));
  inbox = await openInbox();
  await writeFile(join(scratch, 'faults.yaml'), 'variety: {written: 1, decimal_serials: 0, twin_certificates: 0, other_traffic: 20}\n');
  simulator = await step('safemode sim', () => startSimulator(safemode, inbox.url));
  keystore = await dcc.BoxedKeyStore.new(simulator.smki);
  await step('serials are hexadecimal', () => hexadecimal(devices[0].device_id));
  await Promise.all(devices.map((device) => sweep(dcc, keys, device)));
  await step('every answer was written in another form, every kind of form came', () => forms());
  await step(`${inbox.others} messages of other traffic, signed by the DCC`, async () => {
    if (inbox.others === 0) throw new Error('none came');
    for (const xml of inbox.sampled) await dcc.validateDuis({ xml });
  });
}

/** The search names certificates as DCC's own keystore tests have it. */
async function hexadecimal(device) {
  const answer = await fetch(`${simulator.smki}/services/certificatesearch?apikey=any`, {
    method: 'POST', headers: { 'content-type': 'application/xml' },
    body: `<CertificateSearchRequest><CertificateSubjectAltName>${device}</CertificateSubjectAltName></CertificateSearchRequest>`,
  });
  const serials = [...(await answer.text()).matchAll(/<CertificateSerial>([^<]*)</g)].map((m) => m[1]);
  if (serials.length !== 2 || serials.some((serial) => !/^[0-9A-F]{32}$/.test(serial))) throw new Error(serials.join(', '));
}

const seen = { mark: 0, declaration: 0, namespaces: 0, folded: 0, compact: 0 };

/** Counts how a document is written. */
function noteForm(xml) {
  const mark = xml.startsWith('\ufeff');
  const declaration = /^\ufeff?<\?xml /.test(xml);
  const namespaces = /<sr:Response [^>]*xmlns:xsi=/.test(xml);
  const folded = /&#13;/.test(xml);
  for (const [name, is] of Object.entries({ mark, declaration, namespaces, folded })) seen[name] += is;
  // What holds another's signature is passed on as that wrote it.
  const passedOn = /<sr:(SMETS1SignedResponse|S1SPAlertDSP)\b/.test(xml);
  seen.compact += !(mark || declaration || namespaces || folded || passedOn || !hasSignature(xml));
}

function forms() {
  const { compact, ...others } = seen;
  say(`  ${JSON.stringify(seen)}`);
  if (compact > 0 || Object.values(others).some((n) => n === 0)) throw new Error(JSON.stringify(seen));
}

/** Everything that is asked of one meter, one after another. */
async function sweep(dcc, keys, device) {
  const electric = device.device_type === 'ESME';
  const find = async (keyUsage) => {
    const found = await keystore.query({ eui: device.device_id, keyUsage, lookup: 'certificate' });
    if (found?.length !== 1) throw new Error(`${found?.length ?? 'no'} certificates`);
    return found[0].certificate;
  };
  const certificates = await step(`${device.device_type} certificates by the SMKI service`, async () => ({
    signing: await find(dcc.KeyUsage.digitalSignature), agreement: await find(dcc.KeyUsage.keyAgreement),
  }));
  const user = new User(dcc, keys, device, certificates);

  if (electric) await user.stranger();
  await user.read('7.4', 'ReadSupplyStatus', electric ? 0x0052 : 0x0082, 'Disabled', (p) => supply(p, electric));
  await user.read('6.2.9', 'ReadDeviceConfigurationPaymentMode', electric ? 0x00be : 0x00bf, 'Prepayment', (p) => mode(p, electric));
  await user.read('4.18', 'ReadMeterBalance', electric ? 0x0069 : 0x008d, Number(device.balance), (p) =>
    (electric ? p.readInt32BE(9) : p.readInt32LE(p.length - 4)) / 100_000);
  await user.read('4.3', 'ReadInstantaneousPrepayValues', electric ? 0x002d : 0x0075, Number(device.balance), (p, m) =>
    balanceInside(gbcs.open(m, sealed(p, electric), certificates.agreement, keys.agreement), electric) / 100_000);
  await user.command('2.5', 'ActivateEmergencyCredit', '', electric ? 0x0020 : 0x0070);
  await user.command('1.6', 'UpdatePaymentMode', { Credit: '' }, electric ? 0x001a : 0x006c);
  await user.read('6.2.9', 'ReadDeviceConfigurationPaymentMode', electric ? 0x00be : 0x00bf, 'Credit', (p) => mode(p, electric));
  await user.command('7.3', 'ArmSupply', '', electric ? 0x0051 : 0x0085);
  await user.read('7.4', 'ReadSupplyStatus', electric ? 0x0052 : 0x0082, 'Armed', (p) => supply(p, electric));
  if (!electric) return;
  await user.read('4.13', 'ReadPrepaymentConfiguration', 0x003b, 18, (p) => p[7]); // data
  await user.inventory();
  await user.dated();
}

class User {
  constructor(dcc, keys, device, certificates) {
    Object.assign(this, { dcc, keys, device, certificates, counter: BigInt(Date.now()) });
  }

  /** Sends a read: what `decode` finds in the device's answer must be `want`. */
  async read(srv, element, code, want, decode) {
    await step(`${this.device.device_type} ${srv} reads ${want}`, async () => {
      const id = this.nextID();
      const answer = inbox.wait(id);
      this.acknowledged(await this.post('serviceS', await this.sign(id, 1, srv, { [element]: '' })));
      const m = await this.response((await answer)[0], id, code);
      gbcs.verifyMAC(m, this.certificates.agreement, this.keys.agreement);
      const got = decode(m.payload, m);
      if (got !== want) throw new Error(`reads ${got}, want ${want}: ${m.payload.toString('hex')}`);
    });
  }

  /** Transforms, signs and sends a critical request; the device must say yes. */
  async command(srv, element, content, code) {
    await step(`${this.device.device_type} ${srv} ${element}`, () => this.critical(this.nextID(), srv, element, content, code, 1));
  }

  /** The way of a critical request; returns what comes after the device's yes, up to `messages` in all. */
  async critical(id, srv, element, content, code, messages) {
    const transformed = await this.validated(await this.post('serviceT', await this.sign(id, 4, srv, { [element]: content })));
    const preCommand = Buffer.from(transformed.body.ResponseMessage.PreCommand.GBCSPayload, 'base64');
    const asked = gbcs.parse(preCommand);
    if (asked.code !== code || asked.counter !== id.counter || hyphens(asked.target) !== id.targetId) {
      throw new Error(`Pre-Command of code ${asked.code.toString(16)} for ${hyphens(asked.target)}, counter ${asked.counter}`);
    }
    const signed = gbcs.signPreCommand(preCommand, this.keys.signing).toString('base64');
    const answers = inbox.wait(id, messages);
    this.acknowledged(await this.post('serviceS', await this.sign(id, 5, srv, { SignedPreCommand: { GBCSPayload: signed } })));
    const part = (xml) => Number(/InstructionNumber>(\d+)</.exec(xml)?.[1] ?? 0); // deliveries travel side by side
    const [answer, ...later] = (await answers).sort((a, b) => part(a) - part(b));
    const m = await this.response(answer, id, code);
    gbcs.verifySignature(m, this.certificates.signing);
    if (!success(m.payload, this.device.device_type)) throw new Error(`the device says no: ${m.payload.toString('hex')}`);
    return later;
  }

  /** Finds the meter among its home's devices; the DCC itself answers. */
  async inventory() {
    await step(`${this.device.device_type} 8.2 finds the home`, async () => {
      const id = { ...this.nextID(), targetId: dccEUI };
      const body = { ReadInventory: { DeviceID: this.device.device_id } };
      const found = await this.validated(await this.post('serviceD', await this.sign(id, 8, '8.2', body)));
      const devices = [found.body.ResponseMessage.DSPInventory.Device].flat();
      const own = devices.find((d) => d.DeviceID.toUpperCase() === this.device.device_id);
      if (own?.DeviceType !== this.device.device_type || own.ImportMPxN !== this.device.mpxn) throw new Error(JSON.stringify(devices));
    });
  }

  /** A 1.6 for a later time: accepted now, and an alert for each of its parts when it has been done. */
  async dated() {
    await step(`${this.device.device_type} 1.6 to Prepayment, future-dated, and its alert`, async () => {
      const id = this.nextID();
      const ahead = simulator.began + (Date.now() + 20_000 - simulator.began) * speed; // the simulator's clock in 20 s
      const content = {
        ExecutionDateTime: new Date(ahead - (ahead % 1000)).toISOString(),
        Prepayment: { SuspendDebtDisabled: 'true', SuspendDebtEmergency: 'false', DisablementThreshold: '0' },
      };
      const alerts = await this.critical(id, '1.6', 'UpdatePaymentMode', content, 0x001b, 3);
      for (const [i, xml] of alerts.entries()) {
        const told = (await this.validated(xml)).body.ResponseMessage.FutureDatedDeviceAlertMessage;
        if (told?.FutureDatedAlertCode !== '8F66' || Number(told.InstructionNumber) !== i + 1 || told.TotalCommandInstructions !== '2') {
          throw new Error(xml);
        }
        const m = gbcs.parse(Buffer.from(told.GBCSPayload, 'base64'));
        if (m.cra !== 3 || m.code !== 0x00cc || hyphens(m.originator) !== id.targetId) throw new Error(`alert of code ${m.code.toString(16)}`);
        gbcs.verifySignature(m, this.certificates.signing);
      }
    });
  }

  /** Another User of the test set has no role here. */
  async stranger() {
    await step(`${this.device.device_type} 7.4 of another User gets E1`, async () => {
      const id = { ...this.nextID(), originatorId: networkOperator };
      const duis = this.dcc.parseDuis('simplified', await this.post('serviceS', await this.sign(id, 1, '7.4', { ReadSupplyStatus: '' })));
      if (duis.header.responseCode !== 'E1') throw new Error(`response code ${duis.header.responseCode}`);
    });
  }

  nextID() {
    this.counter += 1n;
    return { originatorId: supplier, targetId: this.device.device_id, counter: this.counter };
  }

  async sign(requestId, commandVariant, srv, body) {
    const serviceReference = srv.split('.').slice(0, 2).join('.');
    const xml = this.dcc.constructDuis('simplified', {
      header: { type: 'request', requestId, commandVariant, serviceReference, serviceReferenceVariant: srv }, body,
    });
    return this.dcc.signDuis({ xml, preserveCounter: true });
  }

  async post(service, body) {
    const answer = await fetch(`${simulator.duis}/api/v1/${service}`, {
      method: 'POST', headers: { 'content-type': 'application/xml' }, body, signal: AbortSignal.timeout(patience),
    });
    const text = await answer.text();
    if (answer.status !== 200) throw new Error(`${service}: HTTP ${answer.status} ${text}`);
    noteForm(text);
    return text;
  }

  /** Has DCC's tool validate a document that must be signed, and returns what it says. */
  async validated(xml) {
    if (!hasSignature(xml)) throw new Error(`no Signature: ${xml}`);
    const duis = this.dcc.parseDuis('simplified', await this.dcc.validateDuis({ xml }));
    if (duis.header.responseCode !== 'I0') throw new Error(`response code ${duis.header.responseCode}`);
    return duis;
  }

  /** An acknowledgement carries nothing and is not signed. */
  acknowledged(xml) {
    if (hasSignature(xml)) throw new Error(`a Signature: ${xml}`);
    const duis = this.dcc.parseDuis('simplified', xml);
    if (duis.header.responseCode !== 'I99') throw new Error(`response code ${duis.header.responseCode}, want I99`);
  }

  /** The device's message in an asynchronous response. */
  async response(xml, id, code) {
    const duis = await this.validated(xml);
    const { responseId } = duis.header;
    if (responseId?.originatorId.toUpperCase() !== id.targetId || responseId.counter !== id.counter) throw new Error('response ID is of another request');
    const m = gbcs.parse(Buffer.from(duis.body.ResponseMessage.GBCSPayload, 'base64'));
    if (m.cra !== 2 || m.code !== code || m.counter !== id.counter || hyphens(m.originator) !== id.targetId) {
      throw new Error(`the device answers with code ${m.code.toString(16)}, counter ${m.counter}`);
    }
    return m;
  }
}

/** The two fuels number Armed and Enabled the other way round. */
function supply(payload, electric) {
  return electric ? ['Disabled', 'Enabled', 'Armed'][payload[9]] : ['Disabled', 'Armed', 'Enabled'][payload.at(-1)];
}

function mode(payload, electric) {
  const modes = electric ? { 1: 'Credit', 2: 'Prepayment' } : { 0x0c94: 'Credit', 0x0497: 'Prepayment', 0x0097: 'Prepayment', 0x0c97: 'Prepayment', 0x0897: 'Prepayment' };
  return modes[electric ? payload[11] : payload.readUInt16LE(payload.length - 2)];
}

/** Whether a critical Response says that everything was done. */
function success(payload, type) {
  if (type === 'GSME') {
    const [cluster, frame, command] = [payload.readUInt16BE(4), payload[8], payload[10]];
    if (command === 0x0b) return payload.at(-1) === 0; // Default Response with a status
    return cluster === 0x0705 ? command === 2 && frame === 0x19 : command === 0x0c && payload.at(-1) === 1; // armed
  }
  const n = payload[7]; // the results come last: choice and code of each
  return payload.subarray(-2 * n).every((b, i) => i % 2 === 0 || b === 0);
}

/** The ciphertext and tag of 4.3, after the security header 31 00000000. */
function sealed(payload, electric) {
  const length = electric ? 34 + 12 : 48 + 12;
  const end = electric ? payload.length - 3 : payload.length; // an ESME's result follows
  return payload.subarray(end - length, end);
}

/** The meter balance among the six values. */
function balanceInside(plain, electric) {
  return electric ? plain.readInt32BE(5) : plain.readInt32LE(2 * 8 + 4);
}

const hasSignature = (xml) => /<(\w+:)?Signature[ >]/.test(xml);
const hyphens = (eui) => eui.toString('hex').toUpperCase().match(/../g).join('-');

/** Puts DCC's public test set into the folder that safemode reads. */
async function writePKI(file) {
  const named = {};
  for (const usages of Object.values(JSON.parse(await readFile(file)))) {
    for (const serials of Object.values(usages)) for (const entry of Object.values(serials)) named[entry.name] = entry;
  }
  const places = {
    'supplier/xml-signing': 'xml-sign-90B3D51F30010000-ds',
    'supplier/digital-signing': 'Z1-supplier-ds',
    'supplier/key-agreement': 'Z1-supplier-ka',
    'dcc/transform': 'dsp-xml-sign-90B3D51F30000002-ds',
    'dcc/xml-signing': 'dsp-xml-sign-90B3D51F30000002-ds',
    'dcc/acb-key-agreement': 'Z1-accessControlBroker-ka',
    'users/network-operator': 'xml-sign-90B3D51F30020000-ds',
  };
  for (const [place, name] of Object.entries(places)) {
    if (!named[name]?.privateKey) throw new Error(`${file} has no ${name}`);
    const path = join(scratch, 'pki', place);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(`${path}.pem`, named[name].certificate);
    await writeFile(`${path}.key`, named[name].privateKey, { mode: 0o600 });
  }
  return { signing: named['Z1-supplier-ds'].privateKey, agreement: named['Z1-supplier-ka'].privateKey };
}

/** Two meters off though they have credit left, so that every command changes something. */
async function writeFleet(safemode) {
  const file = join(scratch, 'fleet.csv');
  await run(safemode, ['fleet', 'generate', '--meters', '20', '--seed', '1', '--out', file, '--portfolio', join(scratch, 'portfolio.csv')]);
  const [comment, header, ...rows] = (await readFile(file, 'utf8')).trim().split('\n');
  const names = header.split(',');
  const chosen = [];
  for (const [i, row] of rows.entries()) {
    const meter = Object.fromEntries(row.split(',').map((value, column) => [names[column], value]));
    if (chosen.some((other) => other.device_type === meter.device_type)) continue;
    Object.assign(meter, {
      payment_mode: 'prepayment', supply_state: 'disabled', balance: '0.75000', emergency_credit: 'available',
      locked: 'false', reachable: 'true', registered_supplier: supplier,
    });
    chosen.push(meter);
    rows[i] = names.map((name) => meter[name]).join(',');
  }
  await writeFile(file, [comment, header, ...rows, ''].join('\n'));
  return chosen;
}

async function startSimulator(safemode, respondTo) {
  const process = spawn(safemode, [
    'sim', '--fleet', join(scratch, 'fleet.csv'), '--pki', join(scratch, 'pki'), '--speed', String(speed), '--respond-to', respondTo,
    '--faults', join(scratch, 'faults.yaml'),
    '--listen', '127.0.0.1:0', '--smki-listen', '127.0.0.1:0', '--control', '127.0.0.1:0',
  ], { stdio: ['ignore', 'ignore', 'pipe'] });
  const began = Date.now();
  const addresses = {};
  const said = [];
  for await (const line of createInterface({ input: process.stderr })) {
    said.push(line);
    const found = /^ *(DUIS|SMKI|control) +(http:\S+)$/.exec(line);
    if (found) addresses[found[1].toLowerCase()] = found[2];
    if (addresses.control) {
      process.stderr.resume();
      return { process, began, ...addresses };
    }
  }
  throw new Error(`safemode sim ended: ${said.join('\n')}`);
}

/** The User's own receive service: what the DCC POSTs, by Request ID. */
async function openInbox() {
  const waiting = new Map();
  const opened = { others: 0, sampled: [] };
  const key = (id) => `${id.originatorId}:${id.targetId}:${id.counter}`.toUpperCase();
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const xml = Buffer.concat(chunks).toString();
    noteForm(xml);
    const id = /RequestID>([^<]+)</.exec(xml)?.[1].toUpperCase();
    if (waiting.has(id)) {
      waiting.get(id)(xml);
    } else if (++opened.others <= 5) { // alerts and other traffic answer nobody
      opened.sampled.push(xml);
    }
    response.writeHead(204).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return Object.assign(opened, {
    server,
    url: `http://127.0.0.1:${server.address().port}/smartdcc/duis`,
    /** The next messages about a request. */
    wait: (id, messages = 1) => new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`no response to ${key(id)} in ${patience} ms`)), patience);
      late.unref();
      const come = [];
      waiting.set(key(id), (xml) => {
        if (come.push(xml) < messages) return;
        clearTimeout(late);
        resolve(come);
      });
    }),
  });
}

async function step(what, does) {
  const begun = Date.now();
  try {
    const result = await does();
    say(`${what} (${Date.now() - begun} ms)`);
    return result;
  } catch (fault) {
    throw new Error(`${what}: ${fault.stderr || fault.message}`);
  }
}

function say(text) {
  console.log(`${((Date.now() - started) / 1000).toFixed(1).padStart(6)}s  ${text}`);
}

try {
  await main();
  say('passed');
} catch (fault) {
  say(`FAILED: ${fault.stack ?? fault}`);
  process.exitCode = 1;
} finally {
  await keystore?.cleanup().catch(() => {});
  inbox?.server.close();
  if (simulator?.process.exitCode === null) {
    simulator.process.kill('SIGINT');
    await once(simulator.process, 'exit');
  }
  await rm(scratch, { recursive: true, force: true });
}
