// Reads `go test -json` from standard input: a line for each package as it ends, all
// output of what failed, the tests that took longest, and exit 1 if a test failed or was skipped.
import { createInterface } from "node:readline";

const output = new Map(); // of the tests and packages that have not ended
const packages = { pass: 0, fail: 0, skip: 0 };
const failed = [], skipped = [];
const slow = []; // tests of ten seconds and more

for await (const line of createInterface({ input: process.stdin })) {
  let event;
  try { event = JSON.parse(line); } catch { console.log(line); continue; } // not a test's
  const name = [event.Package ?? event.ImportPath, event.Test].filter(Boolean).join(" ");
  switch (event.Action) {
    case "output":
    case "build-output":
      output.set(name, (output.get(name) ?? "") + event.Output);
      continue;
    case "build-fail":
    case "fail":
      failed.push(name);
      console.log(output.get(name) ?? name);
      break;
    case "skip":
      if (event.Test) skipped.push(output.get(name) ?? name);
      break;
    case "pass":
      if (event.Test && event.Elapsed >= 10) slow.push(event);
      break;
    default:
      continue;
  }
  output.delete(name);
  if (!event.Test && event.Package) {
    packages[event.Action]++;
    console.log(`${event.Action === "skip" ? "none" : event.Action}  ${name}  ${(event.Elapsed ?? 0).toFixed(1)}s`);
  }
}
slow.sort((a, b) => b.Elapsed - a.Elapsed);
if (slow.length) console.log(`slow: ${slow.slice(0, 12).map((e) => `${e.Test} ${Math.round(e.Elapsed)}s`).join(", ")}`);
console.log(`packages: ${packages.pass} passed, ${packages.fail} failed, ${packages.skip} without tests`);
if (skipped.length) console.log(`skipped although all they need is here:\n${skipped.join("")}`);
if (failed.length) console.log(`failed:\n  ${failed.join("\n  ")}`);
process.exit(failed.length || skipped.length || !packages.pass ? 1 : 0);
