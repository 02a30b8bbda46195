//! What programs open or start by themselves, where no ELF file says so: one rule a program or library.
//!
//! A table, because each of these is compiled into the program and can only be known. A rule is applied when
//! its trigger is part of a closure. `*` stands for anything within a path's component; `$1` for what the
//! trigger's first `*` stood for. A path that ends in a slash is a folder with all below it. What a rule
//! brings is left out, and said, when the libraries that it needs are not there. A path is looked for
//! below /usr and beside it, since distributions differ in that.

/// What a program brings.
pub struct PluginRule {
    /// Real paths that ask for the rest.
    pub trigger: &'static [&'static str],
    /// Files and folders that come along.
    pub brings: &'static [&'static str],
    /// Parts of paths that do not come along.
    pub exclude: &'static [&'static str],
    /// Files and folders that are only named to the operator.
    pub suggests: &'static [&'static str],
    /// Why, as `vmatic why` shows it.
    pub reason: &'static str,
}

const fn rule(
    trigger: &'static [&'static str],
    brings: &'static [&'static str],
    exclude: &'static [&'static str],
    suggests: &'static [&'static str],
    reason: &'static str,
) -> PluginRule {
    PluginRule { trigger, brings, exclude, suggests, reason }
}

/// Never brought from a folder: what machines make again, and what only people read.
pub const NEVER: &[&str] = &["/__pycache__/", "/share/doc/", "/share/man/", "/share/info/", ".pod"];

/// What of Python's library is for its own tests and makers.
const PYTHON_LEAVES: &[&str] = &["/test/", "/idlelib/", "/turtledemo/", "/ensurepip/", "/config-3", "/lib2to3/tests/"];

/// All rules. Columns: trigger, brings, exclude, suggests, reason.
pub const PLUGIN_RULES: &[PluginRule] = &[
    // Languages.
    rule(
        &["/usr/local/bin/python3.*"],
        &["/usr/local/lib/python3.$L/"],
        PYTHON_LEAVES,
        &[],
        "Python's standard library",
    ),
    rule(
        &["/usr/bin/python3.*", "/usr/lib/*/libpython3.*.so.1.0"],
        &["/usr/lib/python3.$L/"],
        PYTHON_LEAVES,
        &["/usr/lib/python3/dist-packages/"],
        "Python's standard library",
    ),
    rule(
        &["/usr/bin/perl", "/usr/bin/perl5*", "/usr/lib/*/libperl.so.*"],
        &["/usr/lib/*/perl-base/", "/usr/lib/*/perl/5.*/", "/usr/share/perl/5.*/"],
        &["/Unicode/Collate/", "/CORE/", "/unicore/Name.p"],
        &["/usr/share/perl5/"],
        "Perl's core modules",
    ),
    rule(
        &["/usr/lib/jvm/*/bin/*"],
        &["/usr/lib/jvm/$1/lib/", "/usr/lib/jvm/$1/conf/", "/usr/lib/jvm/$1/release"],
        &["/src.zip", "/ct.sym", ".debuginfo"],
        &[],
        "the Java virtual machine and its modules",
    ),
    rule(
        &["/usr/bin/ruby*", "/usr/lib/*/libruby*.so*"],
        &["/usr/lib/ruby/", "/usr/lib/*/ruby/"],
        &[],
        &[],
        "Ruby's standard library",
    ),
    rule(&["/usr/lib/*/libtcl8.*.so*"], &["/usr/share/tcltk/tcl8.$L/"], &["/tzdata/"], &[], "Tcl's library"),
    rule(&["/usr/lib/*/libtk8.*.so*"], &["/usr/share/tcltk/tk8.$L/"], &["/demos/"], &[], "Tk's library"),
    rule(&["/usr/lib/*/libguile-*.so*"], &["/usr/share/guile/", "/usr/lib/*/guile/"], &[], &[], "Guile's modules"),
    rule(&["/usr/bin/php*"], &["/usr/lib/php/", "/etc/php/"], &[], &[], "PHP's extensions"),
    rule(
        &["/usr/bin/lua5*", "/usr/lib/*/liblua5*.so*"],
        &["/usr/share/lua/", "/usr/lib/*/lua/"],
        &[],
        &[],
        "Lua's modules",
    ),
    rule(&["/usr/lib/R/bin/*"], &["/usr/lib/R/", "/etc/R/", "/usr/share/R/"], &[], &[], "R's library"),
    // Development.
    rule(
        &["/usr/local/bin/git"],
        &["/usr/local/libexec/git-core/", "/usr/local/share/git-core/templates/"],
        &[],
        &[],
        "git's own commands (its exec-path)",
    ),
    rule(
        &["/usr/bin/git"],
        &["/usr/lib/git-core/", "/usr/libexec/git-core/", "/usr/share/git-core/templates/"],
        &[],
        &["/etc/ssl/certs/ca-certificates.crt"],
        "git's own commands (its exec-path)",
    ),
    rule(
        &["/usr/bin/*-linux-gnu-gcc-*", "/usr/bin/*-linux-gnu-g++-*", "/usr/bin/*-linux-gnu-cpp-*"],
        &[
            "/usr/lib/gcc/$1-linux-gnu/$2/",
            "/usr/libexec/gcc/$1-linux-gnu/$2/",
            "/usr/bin/as",
            "/usr/bin/ld",
            "/usr/lib/$1-linux-gnu/*crt*.o",
            "/usr/lib/$1-linux-gnu/libc.so",
            "/usr/lib/$1-linux-gnu/libc_nonshared.a",
            "/usr/lib/$1-linux-gnu/libm.so",
            "/usr/include/stdc-predef.h",
        ],
        &["/libasan", "/libtsan", "/liblsan", "/libubsan", "/plugin/"],
        &["/usr/include/"],
        "the compiler proper, assembler and linker that gcc starts",
    ),
    rule(
        &["/usr/bin/*-ld.bfd", "/usr/bin/ld.bfd"],
        &["/usr/lib/*/ldscripts/", "/usr/lib/*/bfd-plugins/"],
        &[],
        &[],
        "the linker's scripts",
    ),
    rule(&["/usr/bin/gdb"], &["/usr/share/gdb/"], &[], &["/usr/lib/debug/"], "gdb's data-directory"),
    rule(&["/usr/bin/perf*"], &["/usr/libexec/perf-core/"], &[], &[], "perf's own commands"),
    rule(&["/usr/bin/valgrind*"], &["/usr/libexec/valgrind/", "/usr/lib/*/valgrind/"], &[], &[], "valgrind's tools"),
    rule(&["/usr/sbin/nft", "/usr/sbin/bird"], &["/etc/iproute2/"], &[], &[], "names of routing tables and the like"),
    // Rights and names.
    rule(
        &["/usr/bin/sudo"],
        &["/usr/libexec/sudo/", "/usr/lib/sudo/", "/etc/sudoers", "/etc/sudoers.d/", "/etc/sudo.conf"],
        &[],
        &[],
        "sudo's plug-ins and its rules",
    ),
    rule(
        &["/usr/lib/*/security/pam_unix.so"],
        &["/usr/sbin/unix_chkpwd"],
        &[],
        &[],
        "checks passwords for programs without rights",
    ),
    rule(
        &["/usr/lib/*/security/pam_env.so"],
        &["/etc/security/pam_env.conf", "/etc/environment"],
        &[],
        &[],
        "pam_env's settings",
    ),
    rule(
        &["/usr/lib/*/security/pam_limits.so"],
        &["/etc/security/limits.conf", "/etc/security/limits.d/"],
        &[],
        &[],
        "pam_limits' settings",
    ),
    rule(&["/usr/lib/*/security/pam_access.so"], &["/etc/security/access.conf"], &[], &[], "pam_access's settings"),
    rule(&["/usr/lib/*/libsasl2.so.2*"], &["/usr/lib/*/sasl2/"], &[], &[], "SASL's mechanisms"),
    rule(
        &["/usr/lib/*/libkrb5.so.3*"],
        &["/etc/krb5.conf", "/usr/lib/*/krb5/plugins/"],
        &[],
        &[],
        "Kerberos' plug-ins",
    ),
    rule(&["/usr/lib/*/libgssapi_krb5.so.2*"], &["/etc/gss/"], &[], &[], "GSS-API's mechanisms"),
    // TLS and text.
    rule(
        &["/usr/lib/*/libcrypto.so.3"],
        &["/usr/lib/*/ossl-modules/", "/usr/lib/ssl/openssl.cnf", "/etc/ssl/openssl.cnf"],
        &[],
        &["/usr/lib/*/engines-3/", "/etc/ssl/certs/ca-certificates.crt"],
        "OpenSSL's providers and settings",
    ),
    rule(
        &["/usr/lib/*/libcrypto.so.1.1"],
        &["/usr/lib/ssl/openssl.cnf"],
        &[],
        &["/usr/lib/*/engines-1.1/"],
        "OpenSSL's settings",
    ),
    rule(&["/usr/lib/*/libp11-kit.so.0*"], &[], &[], &["/usr/lib/*/pkcs11/"], "PKCS#11 modules"),
    rule(
        &["/usr/lib/*/libc.so.6"],
        &["/etc/host.conf", "/etc/gai.conf"],
        &[],
        &["/usr/lib/*/gconv/", "/usr/lib/locale/C.utf8/", "/usr/share/zoneinfo/"],
        "how names are resolved; character sets, locales, time zones",
    ),
    rule(
        &["/usr/lib/*/libmagic.so.1*"],
        &["/usr/lib/file/magic.mgc", "/usr/share/misc/magic.mgc", "/etc/magic"],
        &[],
        &[],
        "file types for libmagic",
    ),
    rule(
        &["/usr/lib/*/libtinfo.so.*", "/usr/lib/*/libncurses*.so.*"],
        &[
            "/usr/lib/terminfo/*/linux",
            "/usr/lib/terminfo/*/xterm*",
            "/usr/lib/terminfo/*/vt100",
            "/usr/lib/terminfo/*/vt220",
            "/usr/lib/terminfo/*/screen*",
            "/usr/lib/terminfo/*/tmux*",
            "/usr/lib/terminfo/*/dumb",
            "/usr/share/terminfo/*/xterm*",
        ],
        &[],
        &[],
        "what common terminals can do",
    ),
    rule(&["/usr/bin/vim.*"], &["/usr/share/vim/", "/etc/vim/"], &["/doc/", "/lang/", "/tutor/"], &[], "vim's runtime"),
    rule(&["/usr/bin/nano"], &["/usr/share/nano/", "/etc/nanorc"], &[], &[], "nano's colours"),
    rule(
        &["/usr/bin/groff"],
        &["/usr/share/groff/", "/etc/groff/", "/usr/bin/troff", "/usr/bin/grotty", "/usr/bin/grops"],
        &[],
        &[],
        "groff's devices and macros, and the programs that these name",
    ),
    // Networks.
    rule(
        &["/usr/sbin/xtables-*-multi"],
        &["/usr/lib/*/xtables/", "/usr/lib/xtables/", "/etc/ethertypes"],
        &[],
        &["/etc/protocols"],
        "iptables' matches and targets",
    ),
    rule(&["/usr/sbin/ebtables*"], &["/usr/lib/ebtables/", "/etc/ethertypes"], &[], &[], "ebtables' extensions"),
    rule(
        &["/usr/bin/ip", "/usr/sbin/tc", "/usr/sbin/ip"],
        &["/etc/iproute2/", "/usr/share/iproute2/", "/usr/lib/tc/", "/usr/lib/*/tc/"],
        &[],
        &[],
        "names and distributions for ip and tc",
    ),
    rule(
        &["/usr/lib/frr/*", "/usr/bin/vtysh"],
        &["/usr/lib/*/frr/", "/usr/lib/frr/modules/", "/etc/frr/daemons", "/usr/share/yang/", "/usr/share/frr-yang/"],
        &[],
        &["/usr/lib/frr/"],
        "FRR's modules and YANG models",
    ),
    rule(&["/usr/sbin/bird*"], &["/etc/bird/"], &[], &[], "bird's settings"),
    rule(
        &["/usr/bin/tshark", "/usr/bin/wireshark", "/usr/lib/*/libwireshark.so.*"],
        &["/usr/lib/*/wireshark/", "/usr/share/wireshark/", "/usr/bin/dumpcap"],
        &["/help/", "/profiles/"],
        &[],
        "wireshark's plug-ins, dissectors' data and its capturing program",
    ),
    rule(&["/usr/bin/mtr"], &["/usr/bin/mtr-packet"], &[], &[], "sends mtr's packets"),
    rule(&["/usr/bin/nmap"], &["/usr/share/nmap/"], &[], &[], "nmap's data and scripts"),
    rule(&["/usr/sbin/openvpn"], &["/usr/lib/*/openvpn/plugins/", "/usr/lib/openvpn/"], &[], &[], "openvpn's plug-ins"),
    rule(
        &["/usr/sbin/ipsec", "/usr/sbin/charon-systemd", "/usr/sbin/swanctl", "/usr/lib/ipsec/*"],
        &[
            "/usr/lib/ipsec/",
            "/etc/strongswan.conf",
            "/etc/strongswan.d/",
            "/etc/ipsec.conf",
            "/etc/ipsec.d/",
            "/etc/swanctl/",
            "/usr/share/strongswan/",
        ],
        &[],
        &[],
        "strongSwan's daemons, plug-ins and settings",
    ),
    rule(&["/usr/sbin/ipset", "/usr/lib/*/libipset.so.*"], &["/usr/lib/*/ipset/"], &[], &[], "ipset's types"),
    rule(&["/usr/sbin/pppd"], &["/usr/lib/pppd/", "/etc/ppp/"], &[], &[], "pppd's plug-ins"),
    rule(
        &["/usr/sbin/ovs-vswitchd", "/usr/sbin/ovsdb-server", "/usr/bin/ovs-vsctl"],
        &["/usr/share/openvswitch/"],
        &["/scripts/", "/bugtool", "/python/"],
        &[],
        "Open vSwitch's schemas",
    ),
    // Servers.
    rule(
        &["/usr/sbin/sshd"],
        &[
            "/etc/ssh/sshd_config",
            "/etc/ssh/sshd_config.d/",
            "/etc/ssh/moduli",
            "/usr/lib/openssh/sftp-server",
            "/usr/lib/openssh/sshd-session",
            "/usr/lib/openssh/sshd-auth",
        ],
        &[],
        &["/run/sshd/"],
        "sshd's settings and the programs it starts",
    ),
    rule(
        &["/usr/bin/ssh"],
        &[
            "/etc/ssh/ssh_config",
            "/etc/ssh/ssh_config.d/",
            "/usr/lib/openssh/ssh-sk-helper",
            "/usr/lib/openssh/ssh-pkcs11-helper",
        ],
        &[],
        &[],
        "ssh's settings and helpers",
    ),
    rule(
        &["/usr/sbin/nginx"],
        &["/usr/lib/nginx/modules/", "/usr/share/nginx/", "/etc/nginx/", "/var/lib/nginx/", "/var/log/nginx/"],
        &[],
        &[],
        "nginx' modules, settings and folders",
    ),
    rule(
        &["/usr/sbin/apache2", "/usr/sbin/httpd"],
        &["/usr/lib/apache2/modules/", "/etc/apache2/", "/usr/share/apache2/", "/var/log/apache2/"],
        &["/icons/"],
        &[],
        "Apache's modules and settings",
    ),
    rule(&["/usr/sbin/lighttpd"], &["/usr/lib/lighttpd/", "/etc/lighttpd/"], &[], &[], "lighttpd's modules"),
    rule(
        &["/usr/lib/postgresql/*/bin/*"],
        &[
            "/usr/lib/postgresql/$1/bin/postgres",
            "/usr/lib/postgresql/$1/lib/",
            "/usr/share/postgresql/$1/",
            "/usr/share/zoneinfo/",
        ],
        &["/bitcode/", "llvmjit", "/pgxs/", "/right/", "/zoneinfo/posix/"],
        &["/usr/lib/postgresql/$1/lib/llvmjit.so"],
        "postgres' server, extensions, catalogue and time zones",
    ),
    rule(
        &["/usr/sbin/mariadbd", "/usr/sbin/mysqld"],
        &["/usr/lib/mysql/plugin/", "/usr/share/mysql/", "/etc/mysql/"],
        &["/mysql-test/"],
        &[],
        "the database's plug-ins and messages",
    ),
    rule(&["/usr/bin/redis-*"], &["/etc/redis/"], &[], &[], "redis' settings"),
    rule(
        &["/usr/sbin/named"],
        &["/usr/lib/*/bind/", "/etc/bind/", "/usr/share/dns/"],
        &[],
        &[],
        "named's plug-ins and zones",
    ),
    rule(&["/usr/sbin/unbound"], &["/etc/unbound/", "/usr/share/dns/"], &[], &[], "unbound's settings and root keys"),
    rule(&["/usr/sbin/kea-*"], &["/usr/lib/*/kea/"], &[], &["/etc/kea/"], "kea's hooks"),
    rule(
        &["/usr/sbin/dnsmasq"],
        &["/usr/share/dnsmasq-base/", "/etc/dnsmasq.conf", "/etc/dnsmasq.d/"],
        &[],
        &[],
        "dnsmasq's settings",
    ),
    rule(
        &["/usr/sbin/rsyslogd"],
        &["/usr/lib/*/rsyslog/", "/etc/rsyslog.conf", "/etc/rsyslog.d/"],
        &[],
        &[],
        "rsyslog's modules",
    ),
    rule(&["/usr/sbin/collectd"], &["/usr/lib/collectd/", "/usr/share/collectd/"], &[], &[], "collectd's plug-ins"),
    rule(
        &["/usr/sbin/smbd", "/usr/lib/*/samba/*"],
        &["/usr/lib/*/samba/", "/usr/share/samba/"],
        &[],
        &[],
        "Samba's modules",
    ),
    rule(
        &["/usr/sbin/exim4", "/usr/lib/postfix/*"],
        &["/usr/lib/postfix/", "/etc/postfix/"],
        &[],
        &[],
        "the mail server's programs",
    ),
    rule(
        &["/usr/bin/dbus-daemon"],
        &["/usr/share/dbus-1/", "/etc/dbus-1/", "/usr/lib/dbus-1.0/"],
        &[],
        &[],
        "D-Bus' rules and helper",
    ),
    // Machines and media.
    rule(
        &["/usr/bin/qemu-system-*"],
        &["/usr/share/qemu/", "/usr/share/seabios/", "/usr/lib/ipxe/qemu/", "/usr/share/vgabios/", "/usr/lib/*/qemu/"],
        &["/keymaps/", "/trace-events-all", "hppa-firmware", "openbios-", "skiboot", "u-boot", "s390-", "slof"],
        &["/usr/share/OVMF/"],
        "QEMU's firmware and modules",
    ),
    rule(
        &["/usr/sbin/libvirtd", "/usr/lib/*/libvirt.so.0*"],
        &["/usr/lib/*/libvirt/", "/usr/share/libvirt/"],
        &[],
        &[],
        "libvirt's drivers",
    ),
    rule(&["/usr/bin/nbdkit", "/usr/sbin/nbdkit"], &["/usr/lib/*/nbdkit/"], &[], &[], "nbdkit's plug-ins and filters"),
    rule(&["/usr/lib/*/libcryptsetup.so.12*"], &["/usr/lib/*/cryptsetup/"], &[], &[], "LUKS tokens"),
    rule(
        &["/usr/lib/*/libmultipath.so*"],
        &["/usr/lib/multipath/", "/usr/lib/*/multipath/"],
        &[],
        &[],
        "multipath's checkers",
    ),
    rule(
        &["/usr/lib/*/libasound.so.2*"],
        &["/usr/share/alsa/", "/usr/lib/*/alsa-lib/"],
        &[],
        &[],
        "ALSA's settings and plug-ins",
    ),
    rule(
        &["/usr/lib/*/libgstreamer-1.0.so.0*"],
        &["/usr/lib/*/gstreamer-1.0/", "/usr/lib/*/gstreamer1.0/"],
        &[],
        &[],
        "GStreamer's plug-ins",
    ),
    rule(&["/usr/lib/*/libgdk_pixbuf-2.0.so.0*"], &["/usr/lib/*/gdk-pixbuf-2.0/"], &[], &[], "image loaders"),
    rule(&["/usr/lib/*/libgio-2.0.so.0*"], &[], &[], &["/usr/lib/*/gio/modules/"], "GIO's modules"),
    rule(
        &["/usr/lib/*/libMagickCore-*.so.*"],
        &["/usr/lib/*/ImageMagick-*/", "/etc/ImageMagick-*/", "/usr/share/ImageMagick-*/"],
        &[],
        &[],
        "ImageMagick's coders",
    ),
    rule(
        &["/usr/lib/*/libQt5Core.so.5*"],
        &["/usr/lib/*/qt5/plugins/platforms/"],
        &[],
        &["/usr/lib/*/qt5/plugins/"],
        "Qt's platforms",
    ),
    rule(
        &["/usr/lib/*/libQt6Core.so.6*"],
        &["/usr/lib/*/qt6/plugins/platforms/"],
        &[],
        &["/usr/lib/*/qt6/plugins/"],
        "Qt's platforms",
    ),
    rule(
        &["/usr/lib/*/libfontconfig.so.1*"],
        &["/etc/fonts/", "/usr/share/fontconfig/"],
        &[],
        &["/usr/share/fonts/"],
        "where fonts are",
    ),
    rule(
        &["/usr/lib/libreoffice/program/*"],
        &["/usr/lib/libreoffice/", "/etc/libreoffice/"],
        &[],
        &["/usr/share/libreoffice/"],
        "LibreOffice's components",
    ),
];
