//! Programs that nobody had looked at when the rules of the closure were written: chosen for how differently they
//! find what they need, and run before anything was mended for them. What one of these lacks is a mechanism that is
//! missing, never a row.

use super::cases::{Case, case};

pub const UNSEEN: &[Case] = &[
    case(
        "zsh",
        &["zsh"],
        r#"binaries = ["zsh"]"#,
        "zsh -fc 'zmodload zsh/datetime zsh/mathfunc; autoload -Uz colors; colors; print $((int(sqrt(1764))))'",
        "42",
    ),
    case(
        "convert",
        &["imagemagick"],
        r#"binaries = ["/usr/bin/convert-im6.q16", "/usr/bin/identify-im6.q16"]"#,
        "/usr/bin/convert-im6.q16 -size 42x7 xc:red /tmp/x.png && /usr/bin/identify-im6.q16 /tmp/x.png",
        "PNG 42x7",
    ),
    case(
        "php",
        &["php8.2-cli"],
        r#"binaries = ["php8.2"]"#,
        "php8.2 -d extension=ctype.so -r 'echo json_encode([6*7, ctype_digit(\"42\")]);'",
        "[42,true]",
    ),
    case(
        "sox",
        &["sox"],
        r#"binaries = ["sox"]"#,
        "sox -n -r 8000 /tmp/x.wav synth 0.42 sine 440 && sox --info /tmp/x.wav",
        "00:00:00.42",
    ),
    case(
        "gnuplot",
        &["gnuplot-nox"],
        r#"binaries = ["/usr/bin/gnuplot-nox"]"#,
        "gnuplot-nox -e 'set terminal dumb; set title \"forty-two\"; plot x'",
        "forty-two",
    ),
    case(
        "guile",
        &["guile-3.0"],
        // It ends without character sets, which are suggested.
        "binaries = [\"/usr/bin/guile-3.0\"]\npackages = [\"libc6\"]\npackage_depth = 0",
        "guile-3.0 -c '(use-modules (srfi srfi-1)) (display (fold + 0 (list 40 2)))'",
        "42",
    ),
    case("clisp", &["clisp"], r#"binaries = ["clisp"]"#, "clisp -q -x '(* 6 7)'", "42"),
    case(
        "lighttpd",
        &["lighttpd"],
        r#"binaries = ["lighttpd"]"#,
        "printf 'server.document-root = \"/tmp\"\\nserver.port = 8042\\nserver.modules = ( \"mod_access\", \"mod_status\" )\\n' >/tmp/l.conf && lighttpd -tt -f /tmp/l.conf && echo good",
        "good",
    ),
    case(
        "slapd",
        &["slapd"],
        // What schemas there are only its operator's settings say: they come with the package.
        "packages = [\"slapd\"]\npackage_depth = 0",
        "mkdir /tmp/db && printf 'include /etc/ldap/schema/core.schema\\nmodulepath /usr/lib/ldap\\nmoduleload back_mdb\\ndatabase mdb\\nsuffix \"dc=x\"\\ndirectory /tmp/db\\n' >/tmp/s.conf && slapd -Tt -u -f /tmp/s.conf 2>&1",
        "config file testing succeeded",
    ),
    case(
        "redis",
        &["redis-server", "redis-tools"],
        r#"binaries = ["redis-server", "redis-cli"]"#,
        "redis-server --port 7042 --dir /tmp --daemonize yes >/dev/null; for n in 1 2 3 4 5; do redis-cli -p 7042 set a 42 2>/dev/null | grep -q OK && break; sleep 1; done; redis-cli -p 7042 get a",
        "42",
    ),
    case(
        "exiftool",
        &["libimage-exiftool-perl"],
        r#"binaries = ["exiftool"]"#,
        "exiftool -FileType /bin/busybox",
        "ELF",
    ),
    case(
        "yamllint",
        &["yamllint"],
        r#"binaries = ["yamllint"]"#,
        "printf 'a: 1\\na: 2\\n' >/tmp/x.yaml; yamllint -f parsable /tmp/x.yaml || echo found",
        "duplication of key",
    ),
    case(
        "borg",
        &["borgbackup"],
        r#"binaries = ["borg"]"#,
        "export BORG_BASE_DIR=/tmp BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes; borg init -e none /tmp/b && echo 42 >/tmp/f && borg create /tmp/b::one /tmp/f && borg list /tmp/b::one",
        "tmp/f",
    ),
    case(
        "hg",
        &["mercurial"],
        r#"binaries = ["hg"]"#,
        "cd /tmp && hg init r && cd r && echo 42 >f && hg add f && hg commit -u n -m first && hg log -p --template '{desc}\\n'",
        "+42",
    ),
    case(
        "makeinfo",
        &["texinfo"],
        // Which of its modules replaces another, a third decides by names that it is given.
        "binaries = [\"makeinfo\"]\npackages = [\"texinfo\"]\npackage_depth = 0",
        "printf '\\\\input texinfo\\n@node Top\\n@top forty-two\\n@bye\\n' >/tmp/x.texi && makeinfo --plaintext /tmp/x.texi",
        "forty-two",
    ),
    case(
        "bison",
        &["bison"],
        r#"binaries = ["/usr/bin/bison"]"#,
        "printf '%%%%\\nall: %%empty;\\n%%%%\\n' >/tmp/x.y && bison -o /tmp/x.c /tmp/x.y && grep -c yyparse /tmp/x.c",
        "",
    ),
    case(
        "cmake",
        &["cmake"],
        r#"binaries = ["cmake"]"#,
        "printf 'include(CMakePrintHelpers)\\nmath(EXPR a \"6*7\")\\ncmake_print_variables(a)\\n' >/tmp/x.cmake && cmake -P /tmp/x.cmake",
        "a=\"42\"",
    ),
    case(
        "valgrind",
        &["valgrind", "libc6-dbg"],
        r#"binaries = ["valgrind"]"#,
        "valgrind --tool=none /bin/busybox echo forty-two",
        "forty-two",
    ),
    case("semver", &["node-semver"], r#"binaries = ["semver"]"#, "semver -r '>4.1' 4.2.0", "4.2.0"),
    case(
        "lynx",
        &["lynx"],
        r#"binaries = ["lynx"]"#,
        "echo '<h1>forty-two</h1>' >/tmp/x.html && TERM=vt100 lynx -dump /tmp/x.html",
        "forty-two",
    ),
    case(
        "haproxy",
        &["haproxy"],
        r#"binaries = ["haproxy"]"#,
        "printf 'defaults\\n timeout client 1s\\n timeout server 1s\\n timeout connect 1s\\nfrontend f\\n bind 127.0.0.1:8042\\n mode tcp\\n' >/tmp/h.cfg && haproxy -c -V -f /tmp/h.cfg",
        "valid",
    ),
    case(
        "openvpn",
        &["openvpn"],
        r#"binaries = ["openvpn"]"#,
        "openvpn --genkey secret /tmp/k && grep -q BEGIN /tmp/k && openvpn --show-ciphers",
        "AES-256-GCM",
    ),
    case("iperf3", &["iperf3"], r#"binaries = ["iperf3"]"#, "iperf3 --version", "iperf 3"),
    case(
        "snmptranslate",
        &["snmp"],
        r#"binaries = ["snmptranslate"]"#,
        // Debian's packages have no descriptions of what numbers mean.
        "snmptranslate -On .1.3.6.1.4.1 2>&1",
        ".1.3.6.1.4.1",
    ),
];
