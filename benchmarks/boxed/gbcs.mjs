// What a User must know of GBCS to sign a Pre-Command and to believe a device,
// on Node's own crypto: written apart from the Go code, to judge it.
import { createHash, createDecipheriv, createPrivateKey, diffieHellman, sign, verify, createCipheriv, timingSafeEqual } from 'node:crypto';

/** A GBCS message taken apart. Offsets are of the Grouping Header, tag DF. */
export function parse(message) {
  let inner = message;
  let mac;
  let macHeader;
  if (message[0] === 0xdd) { // general-ciphering: MAC Header, message, MAC
    const [length, at] = ber(message, 7);
    if (at + length !== message.length) throw new Error('MAC Header: length does not hold');
    macHeader = message.subarray(at, at + 5);
    inner = message.subarray(at + 5, message.length - 12);
    mac = message.subarray(message.length - 12);
  }
  if (inner[0] !== 0xdf || inner[1] !== 9) throw new Error('no Grouping Header');
  const cra = inner[2];
  const counter = inner.readBigUInt64BE(3);
  const originator = inner.subarray(12, 20);
  const target = inner.subarray(21, 29);
  let at = 30 + inner[29]; // date-time
  const other = inner[at];
  const code = inner.readUInt16BE(at + 1);
  let length;
  [length, at] = ber(inner, at + 1 + other);
  const end = at + length;
  const payload = inner.subarray(at, end);
  const rest = inner.subarray(end);
  const signature = rest[0] === 0x40 ? rest.subarray(1) : undefined;
  if (rest.length > 1 && rest.length !== 65) throw new Error(`${rest.length} bytes after the payload`);
  return { inner, cra, counter, originator, target, code, payload, end, signature, mac, macHeader };
}

function ber(b, at) {
  if (b[at] < 0x80) return [b[at], at + 1];
  if (b[at] === 0x81) return [b[at + 1], at + 2];
  if (b[at] === 0x82) return [b.readUInt16BE(at + 1), at + 3];
  throw new Error(`length byte ${b[at]}`);
}

/** Signs a Pre-Command, with or without its null signature byte. */
export function signPreCommand(preCommand, privateKey) {
  const { inner, end } = parse(preCommand);
  const body = inner.subarray(0, end);
  const signature = sign('sha256', body.subarray(1), { key: createPrivateKey(privateKey), dsaEncoding: 'ieee-p1363' });
  return Buffer.concat([body, Buffer.from([0x40]), signature]);
}

/** Checks the signature of a critical Response. */
export function verifySignature(m, certificate) {
  if (!m.signature) throw new Error('the device has not signed');
  const key = { key: certificate.publicKey, dsaEncoding: 'ieee-p1363' };
  if (!verify('sha256', m.inner.subarray(1, m.end), key, m.signature)) throw new Error("the device's signature does not verify");
}

/** Checks the MAC of any other Response with the supplier's key agreement key. */
export function verifyMAC(m, certificate, privateKey) {
  if (!m.mac) throw new Error('the Response has no MAC');
  const cipher = createCipheriv('aes-128-gcm', deriveKey(m, m.cra, certificate, privateKey), iv(m));
  cipher.setAAD(Buffer.concat([Buffer.from('110000000000', 'hex'), m.inner]));
  cipher.final();
  if (!timingSafeEqual(cipher.getAuthTag().subarray(0, 12), m.mac)) throw new Error('the MAC does not verify');
}

/** Opens what a device has encrypted for the supplier: ciphertext, then a tag of 12 bytes. */
export function open(m, sealed, certificate, privateKey) {
  const key = deriveKey(m, 4, certificate, privateKey);
  const decipher = createDecipheriv('aes-128-gcm', key, iv(m), { authTagLength: 12 });
  decipher.setAAD(Buffer.from([0x31]));
  decipher.setAuthTag(sealed.subarray(sealed.length - 12));
  return Buffer.concat([decipher.update(sealed.subarray(0, sealed.length - 12)), decipher.final()]);
}

function deriveKey(m, mode, certificate, privateKey) {
  const secret = diffieHellman({ privateKey: createPrivateKey(privateKey), publicKey: certificate.publicKey });
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(m.counter);
  return createHash('sha256')
    .update(Buffer.from('00000001', 'hex')).update(secret)
    .update(Buffer.from('60857406080300', 'hex')).update(m.originator)
    .update(Buffer.from([9, mode])).update(counter).update(m.target)
    .digest().subarray(0, 16);
}

const iv = (m) => Buffer.concat([m.originator, Buffer.alloc(4)]);
