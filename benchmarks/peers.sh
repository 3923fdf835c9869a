#!/usr/bin/env bash
# Signs and verifies the same DUIS document with this module, with xmlsec1 and with
# DCC's own tool, and prints the CPU time (user and system) of one operation, and how
# many times ours it is. A warm loop does the operation many times in one process; the
# other form starts a process for each message.
#
#   benchmarks/peers.sh [--json]
#
# xmlsec1 comes from Debian. DCC's tool is dist/tool.jar of the npm package
# @smartdcc/duis-sign-wrap, which SAFEMODE_DCC_SIGN_TOOL names; its warm loop needs a
# JDK (javac). What is absent is left out, and said to be.
#
# They do not all do the same: xmlsec1 and DCC's tool read their files again each time,
# in the warm loop too, and DCC's tool holds the document against its schema.
set -euo pipefail
cd "$(dirname "$0")/.."
json=0
case "${1:-}" in
"") ;;
--json) json=1 ;;
*) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac

dir="$(mktemp -d)"
trap 'rm -rf "$dir"' EXIT
go build -o "$dir/safemode" ./cmd/safemode
go build -o "$dir/peers" ./benchmarks/peers
cd "$dir"
./safemode pki init --out pki --seed 1 >/dev/null
cert=pki/supplier/xml-signing.pem key=pki/supplier/xml-signing.key
./safemode duis build --srv 1.6 --mode credit --originator 90-B3-D5-1F-30-01-00-00 \
	--target 00-DB-12-34-56-78-90-A0 --counter 1700000000000 | tr -d '\n' >request.xml
./safemode duis sign --cert "$cert" --key "$key" request.xml >signed.xml

# cpu_us COMMAND: CPU of one run in microseconds, the mean of some.
cpu_us() {
	local times="$1" i
	shift
	TIMEFORMAT='%U %S'
	{ time for ((i = 0; i < times; i++)); do "$@" >/dev/null 2>&1; done; } 2>time.txt
	awk -v n="$times" '{ printf "%.0f", ($1 + $2) * 1e6 / n }' time.txt
}

# repeated COMMAND: CPU of one operation of xmlsec1's own loop, without its start.
repeated() {
	local many=2000 whole one
	whole="$(cpu_us 1 "$@" --repeat "$many" signed.xml)"
	one="$(cpu_us 5 "$@" signed.xml)"
	awk -v w="$whole" -v o="$one" -v n="$many" 'BEGIN { printf "%.1f", (w - o) / (n - 1) }'
}

rows=()
read -r sign verify <<<"$(./peers request.xml signed.xml "$cert" "$key" 4000)"
rows+=("safemode|warm loop|$sign|$verify")
rows+=("safemode|process per message|$(cpu_us 20 ./safemode duis sign --cert "$cert" --key "$key" request.xml)|$(cpu_us 20 ./safemode duis verify --cert "$cert" signed.xml)")

if command -v xmlsec1 >/dev/null; then
	openssl x509 -in "$cert" -noout -pubkey >public.pem 2>/dev/null || openssl pkey -in "$key" -pubout >public.pem
	xmlsec1 --verify --pubkey-pem public.pem signed.xml >/dev/null 2>&1 || { echo "xmlsec1 refuses our signature" >&2; exit 1; }
	rows+=("xmlsec1|warm loop|$(repeated xmlsec1 --sign --privkey-pem "$key")|$(repeated xmlsec1 --verify --pubkey-pem public.pem)")
	rows+=("xmlsec1|process per message|$(cpu_us 20 xmlsec1 --sign --privkey-pem "$key" signed.xml)|$(cpu_us 20 xmlsec1 --verify --pubkey-pem public.pem signed.xml)")
else
	echo "left out: xmlsec1 is not installed" >&2
fi

jar="${SAFEMODE_DCC_SIGN_TOOL:-}"
if [ -f "$jar" ] && command -v java >/dev/null; then
	package=uk.co.smartdcc.boxed.xmldsig
	java -cp "$jar" "$package.Validate" signed.xml "$cert" >/dev/null 2>&1 || { echo "DCC's tool refuses our signature" >&2; exit 1; }
	if command -v javac >/dev/null; then
		cat >Warm.java <<'JAVA'
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.management.ManagementFactory;
import uk.co.smartdcc.boxed.xmldsig.ResultCode;
import uk.co.smartdcc.boxed.xmldsig.Sign;
import uk.co.smartdcc.boxed.xmldsig.Validate;

class Warm {
  interface Work { ResultCode once(); }

  static double cpu() {
    var system = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
    return system.getProcessCpuTime() / 1e3;
  }

  static double each(int warm, int times, Work work) {
    for (int i = 0; i < warm; i++) work.once();
    double begin = cpu();
    for (int i = 0; i < times; i++) work.once();
    return (cpu() - begin) / times;
  }

  public static void main(String[] a) {
    PrintStream out = System.out;
    System.setOut(new PrintStream(OutputStream.nullOutputStream()));
    System.setErr(System.out);
    String[] sign = {a[0], a[2], a[3], "--preserveCounter"};
    String[] validate = {a[1], a[2]};
    out.printf("%.0f ", each(200, 200, () -> Sign.main_aux(sign)));
    out.printf("%.0f%n", each(200, 200, () -> Validate.main_aux(validate)));
  }
}
JAVA
		javac -cp "$jar" Warm.java
		read -r sign verify <<<"$(java -cp "$jar:." Warm request.xml signed.xml "$cert" "$key")"
		rows+=("DCC's tool|warm loop|$sign|$verify")
	else
		echo "left out: the warm loop of DCC's tool needs javac" >&2
	fi
	rows+=("DCC's tool|process per message|$(cpu_us 3 java -cp "$jar" "$package.Sign" request.xml "$cert" "$key" --preserveCounter)|$(cpu_us 3 java -cp "$jar" "$package.Validate" signed.xml "$cert")")
else
	echo "left out: SAFEMODE_DCC_SIGN_TOOL names no jar, or there is no java" >&2
fi

printf '%s\n' "${rows[@]}" | awk -F'|' -v json="$json" '
	NR == 1 { sign = $3; verify = $4 }
	json { printf "%s{\"tool\":\"%s\",\"form\":\"%s\",\"sign_us\":%s,\"verify_us\":%s,\"sign_ratio\":%.2f,\"verify_ratio\":%.2f}", (NR > 1 ? "," : "["), $1, $2, $3, $4, $3 / sign, $4 / verify; next }
	NR == 1 { printf "%-12s %-20s %12s %12s %10s %10s\n", "", "", "sign, us", "verify, us", "x ours", "x ours" }
	{ printf "%-12s %-20s %12.1f %12.1f %10.1f %10.1f\n", $1, $2, $3, $4, $3 / sign, $4 / verify }
	END { if (json) print "]" }'
