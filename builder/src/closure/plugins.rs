//! What programs open or start by themselves, where no ELF file says so: one row a program or library.
//!
//! A table, because each of these is compiled into the program and can only be known. A row is applied when
//! its trigger is part of a closure. `*` stands for anything within a path's component; `$1` for what the
//! trigger's first `*` stood for. A path that ends in a slash is a folder with all below it. What a row
//! brings is left out, and said, when the libraries that it needs are not there. A path is looked for
//! below /usr and beside it, since distributions differ in that.

/// One row.
pub struct Row {
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

const fn row(
    trigger: &'static [&'static str],
    brings: &'static [&'static str],
    exclude: &'static [&'static str],
    suggests: &'static [&'static str],
    reason: &'static str,
) -> Row {
    Row { trigger, brings, exclude, suggests, reason }
}

/// Never brought from a folder: what machines make again, and what only people read.
pub const NEVER: &[&str] = &["/__pycache__/", "/share/doc/", "/share/man/", "/share/info/", ".pod"];

/// What of Python's library is for its own tests and makers.
const PYTHON_LEAVES: &[&str] = &["/test/", "/idlelib/", "/turtledemo/", "/ensurepip/", "/config-3", "/lib2to3/tests/"];

/// All rows. Columns: trigger, brings, without, suggests, reason.
pub const ROWS: &[Row] = &[
    // Languages.
    row(
        &["/usr/local/bin/python3.*"],
        &["/usr/local/lib/python3.$L/"],
        PYTHON_LEAVES,
        &[],
        "Python's standard library",
    ),
    row(
        &["/usr/bin/python3.*", "/usr/lib/*/libpython3.*.so.1.0"],
        &["/usr/lib/python3.$L/"],
        PYTHON_LEAVES,
        &["/usr/lib/python3/dist-packages/"],
        "Python's standard library",
    ),
    row(
        &["/usr/bin/perl", "/usr/bin/perl5*", "/usr/lib/*/libperl.so.*"],
        &["/usr/lib/*/perl-base/", "/usr/lib/*/perl/5.*/", "/usr/share/perl/5.*/"],
        &["/Unicode/Collate/", "/CORE/", "/unicore/Name.p"],
        &["/usr/share/perl5/"],
        "Perl's core modules",
    ),
    row(
        &["/usr/lib/jvm/*/bin/*"],
        &["/usr/lib/jvm/$1/lib/", "/usr/lib/jvm/$1/conf/", "/usr/lib/jvm/$1/release"],
        &["/src.zip", "/ct.sym", ".debuginfo"],
        &[],
        "the Java virtual machine and its modules",
    ),
    row(
        &["/usr/bin/ruby*", "/usr/lib/*/libruby*.so*"],
        &["/usr/lib/ruby/", "/usr/lib/*/ruby/"],
        &[],
        &[],
        "Ruby's standard library",
    ),
    row(&["/usr/lib/*/libtcl8.*.so*"], &["/usr/share/tcltk/tcl8.$L/"], &["/tzdata/"], &[], "Tcl's library"),
    row(&["/usr/lib/*/libtk8.*.so*"], &["/usr/share/tcltk/tk8.$L/"], &["/demos/"], &[], "Tk's library"),
    row(&["/usr/lib/*/libguile-*.so*"], &["/usr/share/guile/", "/usr/lib/*/guile/"], &[], &[], "Guile's modules"),
    row(&["/usr/bin/php*"], &["/usr/lib/php/", "/etc/php/"], &[], &[], "PHP's extensions"),
    row(
        &["/usr/bin/lua5*", "/usr/lib/*/liblua5*.so*"],
        &["/usr/share/lua/", "/usr/lib/*/lua/"],
        &[],
        &[],
        "Lua's modules",
    ),
    row(&["/usr/lib/R/bin/*"], &["/usr/lib/R/", "/etc/R/", "/usr/share/R/"], &[], &[], "R's library"),
    // Development.
    row(
        &["/usr/local/bin/git"],
        &["/usr/local/libexec/git-core/", "/usr/local/share/git-core/templates/"],
        &[],
        &[],
        "git's own commands (its exec-path)",
    ),
    row(
        &["/usr/bin/git"],
        &["/usr/lib/git-core/", "/usr/libexec/git-core/", "/usr/share/git-core/templates/"],
        &[],
        &["/etc/ssl/certs/ca-certificates.crt"],
        "git's own commands (its exec-path)",
    ),
    row(
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
        ],
        &["/libasan", "/libtsan", "/liblsan", "/libubsan", "/plugin/"],
        &["/usr/include/"],
        "the compiler proper, assembler and linker that gcc starts",
    ),
    row(
        &["/usr/bin/*-ld.bfd", "/usr/bin/ld.bfd"],
        &["/usr/lib/*/ldscripts/", "/usr/lib/*/bfd-plugins/"],
        &[],
        &[],
        "the linker's scripts",
    ),
    row(&["/usr/bin/gdb"], &["/usr/share/gdb/"], &[], &["/usr/lib/debug/"], "gdb's data-directory"),
    row(&["/usr/bin/perf*"], &["/usr/libexec/perf-core/"], &[], &[], "perf's own commands"),
    row(&["/usr/bin/valgrind*"], &["/usr/libexec/valgrind/", "/usr/lib/*/valgrind/"], &[], &[], "valgrind's tools"),
    // Rights and names.
    row(
        &["/usr/bin/sudo"],
        &["/usr/libexec/sudo/", "/usr/lib/sudo/", "/etc/sudoers", "/etc/sudoers.d/", "/etc/sudo.conf"],
        &[],
        &[],
        "sudo's plug-ins and its rules",
    ),
    row(
        &["/usr/lib/*/security/pam_unix.so"],
        &["/usr/sbin/unix_chkpwd"],
        &[],
        &[],
        "checks passwords for programs without rights",
    ),
    row(
        &["/usr/lib/*/security/pam_env.so"],
        &["/etc/security/pam_env.conf", "/etc/environment"],
        &[],
        &[],
        "pam_env's settings",
    ),
    row(
        &["/usr/lib/*/security/pam_limits.so"],
        &["/etc/security/limits.conf", "/etc/security/limits.d/"],
        &[],
        &[],
        "pam_limits' settings",
    ),
    row(&["/usr/lib/*/security/pam_access.so"], &["/etc/security/access.conf"], &[], &[], "pam_access's settings"),
    row(&["/usr/lib/*/libsasl2.so.2*"], &["/usr/lib/*/sasl2/"], &[], &[], "SASL's mechanisms"),
    row(&["/usr/lib/*/libkrb5.so.3*"], &["/etc/krb5.conf", "/usr/lib/*/krb5/plugins/"], &[], &[], "Kerberos' plug-ins"),
    row(&["/usr/lib/*/libgssapi_krb5.so.2*"], &["/etc/gss/"], &[], &[], "GSS-API's mechanisms"),
    // TLS and text.
    row(
        &["/usr/lib/*/libcrypto.so.3"],
        &["/usr/lib/*/ossl-modules/", "/usr/lib/ssl/openssl.cnf", "/etc/ssl/openssl.cnf"],
        &[],
        &["/usr/lib/*/engines-3/", "/etc/ssl/certs/ca-certificates.crt"],
        "OpenSSL's providers and settings",
    ),
    row(
        &["/usr/lib/*/libcrypto.so.1.1"],
        &["/usr/lib/ssl/openssl.cnf"],
        &[],
        &["/usr/lib/*/engines-1.1/"],
        "OpenSSL's settings",
    ),
    row(&["/usr/lib/*/libp11-kit.so.0*"], &[], &[], &["/usr/lib/*/pkcs11/"], "PKCS#11 modules"),
    row(
        &["/usr/lib/*/libc.so.6"],
        &[],
        &[],
        &["/usr/lib/*/gconv/", "/usr/lib/locale/C.utf8/", "/usr/share/zoneinfo/"],
        "character sets, locales, time zones",
    ),
    row(
        &["/usr/lib/*/libmagic.so.1*"],
        &["/usr/lib/file/magic.mgc", "/usr/share/misc/magic.mgc", "/etc/magic"],
        &[],
        &[],
        "file types for libmagic",
    ),
    row(
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
    row(&["/usr/bin/vim.*"], &["/usr/share/vim/", "/etc/vim/"], &["/doc/", "/lang/", "/tutor/"], &[], "vim's runtime"),
    row(&["/usr/bin/nano"], &["/usr/share/nano/", "/etc/nanorc"], &[], &[], "nano's colours"),
    row(&["/usr/bin/groff"], &["/usr/share/groff/"], &[], &[], "groff's devices and macros"),
    // Networks.
    row(
        &["/usr/sbin/xtables-*-multi"],
        &["/usr/lib/*/xtables/", "/usr/lib/xtables/", "/etc/ethertypes"],
        &[],
        &["/etc/protocols"],
        "iptables' matches and targets",
    ),
    row(&["/usr/sbin/ebtables*"], &["/usr/lib/ebtables/", "/etc/ethertypes"], &[], &[], "ebtables' extensions"),
    row(
        &["/usr/bin/ip", "/usr/sbin/tc", "/usr/sbin/ip"],
        &["/etc/iproute2/", "/usr/share/iproute2/", "/usr/lib/tc/", "/usr/lib/*/tc/"],
        &[],
        &[],
        "names and distributions for ip and tc",
    ),
    row(
        &["/usr/lib/frr/*", "/usr/bin/vtysh"],
        &["/usr/lib/*/frr/", "/usr/lib/frr/modules/", "/etc/frr/daemons", "/usr/share/yang/", "/usr/share/frr-yang/"],
        &[],
        &["/usr/lib/frr/"],
        "FRR's modules and YANG models",
    ),
    row(&["/usr/sbin/bird*"], &["/etc/bird/"], &[], &[], "bird's settings"),
    row(
        &["/usr/bin/tshark", "/usr/bin/wireshark", "/usr/lib/*/libwireshark.so.*"],
        &["/usr/lib/*/wireshark/", "/usr/share/wireshark/", "/usr/bin/dumpcap"],
        &["/help/", "/profiles/"],
        &[],
        "wireshark's plug-ins, dissectors' data and its capturing program",
    ),
    row(&["/usr/bin/mtr"], &["/usr/bin/mtr-packet"], &[], &[], "sends mtr's packets"),
    row(&["/usr/bin/nmap"], &["/usr/share/nmap/"], &[], &[], "nmap's data and scripts"),
    row(&["/usr/sbin/openvpn"], &["/usr/lib/*/openvpn/plugins/", "/usr/lib/openvpn/"], &[], &[], "openvpn's plug-ins"),
    row(
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
    row(&["/usr/sbin/ipset", "/usr/lib/*/libipset.so.*"], &["/usr/lib/*/ipset/"], &[], &[], "ipset's types"),
    row(&["/usr/sbin/pppd"], &["/usr/lib/pppd/", "/etc/ppp/"], &[], &[], "pppd's plug-ins"),
    row(
        &["/usr/sbin/ovs-vswitchd", "/usr/sbin/ovsdb-server", "/usr/bin/ovs-vsctl"],
        &["/usr/share/openvswitch/"],
        &["/scripts/", "/bugtool", "/python/"],
        &[],
        "Open vSwitch's schemas",
    ),
    // Servers.
    row(
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
    row(
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
    row(
        &["/usr/sbin/nginx"],
        &["/usr/lib/nginx/modules/", "/usr/share/nginx/", "/etc/nginx/", "/var/lib/nginx/", "/var/log/nginx/"],
        &[],
        &[],
        "nginx' modules, settings and folders",
    ),
    row(
        &["/usr/sbin/apache2", "/usr/sbin/httpd"],
        &["/usr/lib/apache2/modules/", "/etc/apache2/", "/usr/share/apache2/", "/var/log/apache2/"],
        &["/icons/"],
        &[],
        "Apache's modules and settings",
    ),
    row(&["/usr/sbin/lighttpd"], &["/usr/lib/lighttpd/", "/etc/lighttpd/"], &[], &[], "lighttpd's modules"),
    row(
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
    row(
        &["/usr/sbin/mariadbd", "/usr/sbin/mysqld"],
        &["/usr/lib/mysql/plugin/", "/usr/share/mysql/", "/etc/mysql/"],
        &["/mysql-test/"],
        &[],
        "the database's plug-ins and messages",
    ),
    row(&["/usr/bin/redis-*"], &["/etc/redis/"], &[], &[], "redis' settings"),
    row(
        &["/usr/sbin/named"],
        &["/usr/lib/*/bind/", "/etc/bind/", "/usr/share/dns/"],
        &[],
        &[],
        "named's plug-ins and zones",
    ),
    row(&["/usr/sbin/unbound"], &["/etc/unbound/", "/usr/share/dns/"], &[], &[], "unbound's settings and root keys"),
    row(&["/usr/sbin/kea-*"], &["/usr/lib/*/kea/"], &[], &["/etc/kea/"], "kea's hooks"),
    row(
        &["/usr/sbin/dnsmasq"],
        &["/usr/share/dnsmasq-base/", "/etc/dnsmasq.conf", "/etc/dnsmasq.d/"],
        &[],
        &[],
        "dnsmasq's settings",
    ),
    row(
        &["/usr/sbin/rsyslogd"],
        &["/usr/lib/*/rsyslog/", "/etc/rsyslog.conf", "/etc/rsyslog.d/"],
        &[],
        &[],
        "rsyslog's modules",
    ),
    row(&["/usr/sbin/collectd"], &["/usr/lib/collectd/", "/usr/share/collectd/"], &[], &[], "collectd's plug-ins"),
    row(
        &["/usr/sbin/smbd", "/usr/lib/*/samba/*"],
        &["/usr/lib/*/samba/", "/usr/share/samba/"],
        &[],
        &[],
        "Samba's modules",
    ),
    row(
        &["/usr/sbin/exim4", "/usr/lib/postfix/*"],
        &["/usr/lib/postfix/", "/etc/postfix/"],
        &[],
        &[],
        "the mail server's programs",
    ),
    row(
        &["/usr/bin/dbus-daemon"],
        &["/usr/share/dbus-1/", "/etc/dbus-1/", "/usr/lib/dbus-1.0/"],
        &[],
        &[],
        "D-Bus' rules and helper",
    ),
    // Machines and media.
    row(
        &["/usr/bin/qemu-system-*"],
        &["/usr/share/qemu/", "/usr/share/seabios/", "/usr/lib/ipxe/qemu/", "/usr/share/vgabios/", "/usr/lib/*/qemu/"],
        &["/keymaps/", "/trace-events-all", "hppa-firmware", "openbios-", "skiboot", "u-boot", "s390-", "slof"],
        &["/usr/share/OVMF/"],
        "QEMU's firmware and modules",
    ),
    row(
        &["/usr/sbin/libvirtd", "/usr/lib/*/libvirt.so.0*"],
        &["/usr/lib/*/libvirt/", "/usr/share/libvirt/"],
        &[],
        &[],
        "libvirt's drivers",
    ),
    row(&["/usr/bin/nbdkit", "/usr/sbin/nbdkit"], &["/usr/lib/*/nbdkit/"], &[], &[], "nbdkit's plug-ins and filters"),
    row(&["/usr/lib/*/libcryptsetup.so.12*"], &["/usr/lib/*/cryptsetup/"], &[], &[], "LUKS tokens"),
    row(
        &["/usr/lib/*/libmultipath.so*"],
        &["/usr/lib/multipath/", "/usr/lib/*/multipath/"],
        &[],
        &[],
        "multipath's checkers",
    ),
    row(
        &["/usr/lib/*/libasound.so.2*"],
        &["/usr/share/alsa/", "/usr/lib/*/alsa-lib/"],
        &[],
        &[],
        "ALSA's settings and plug-ins",
    ),
    row(
        &["/usr/lib/*/libgstreamer-1.0.so.0*"],
        &["/usr/lib/*/gstreamer-1.0/", "/usr/lib/*/gstreamer1.0/"],
        &[],
        &[],
        "GStreamer's plug-ins",
    ),
    row(&["/usr/lib/*/libgdk_pixbuf-2.0.so.0*"], &["/usr/lib/*/gdk-pixbuf-2.0/"], &[], &[], "image loaders"),
    row(&["/usr/lib/*/libgio-2.0.so.0*"], &[], &[], &["/usr/lib/*/gio/modules/"], "GIO's modules"),
    row(
        &["/usr/lib/*/libMagickCore-*.so.*"],
        &["/usr/lib/*/ImageMagick-*/", "/etc/ImageMagick-*/", "/usr/share/ImageMagick-*/"],
        &[],
        &[],
        "ImageMagick's coders",
    ),
    row(
        &["/usr/lib/*/libQt5Core.so.5*"],
        &["/usr/lib/*/qt5/plugins/platforms/"],
        &[],
        &["/usr/lib/*/qt5/plugins/"],
        "Qt's platforms",
    ),
    row(
        &["/usr/lib/*/libQt6Core.so.6*"],
        &["/usr/lib/*/qt6/plugins/platforms/"],
        &[],
        &["/usr/lib/*/qt6/plugins/"],
        "Qt's platforms",
    ),
    row(
        &["/usr/lib/*/libfontconfig.so.1*"],
        &["/etc/fonts/", "/usr/share/fontconfig/"],
        &[],
        &["/usr/share/fonts/"],
        "where fonts are",
    ),
    row(
        &["/usr/lib/libreoffice/program/*"],
        &["/usr/lib/libreoffice/", "/etc/libreoffice/"],
        &[],
        &["/usr/share/libreoffice/"],
        "LibreOffice's components",
    ),
];
