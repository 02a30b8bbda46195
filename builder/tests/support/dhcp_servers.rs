//! DHCP servers of others for the tests: Debian's packages, unpacked and not installed, each in a network namespace.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use vmatic::packages::cache::Cache;
use vmatic::spec::values::PackageName;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    Dnsmasq,
    Dhcpd,
    Kea,
}

/// What a server gives, on the network 172.20.0.0/16.
pub struct Offer<'a> {
    pub mac: &'a str,
    pub address: Ipv4Addr,
    pub name: &'a str,
    pub lease_s: u32,
}

/// A server that ends with the test.
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// What it has said so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The folder with all of them, from a mirror or the cache.
pub fn root() -> PathBuf {
    let names = ["dnsmasq-base", "isc-dhcp-server", "kea-dhcp4-server"].map(PackageName::known);
    let cache = Cache::open(false).unwrap();
    cache.root_folder(&cache.root_of(&names).unwrap())
}

impl Server {
    fn program(self) -> &'static str {
        match self {
            Server::Dnsmasq => "usr/sbin/dnsmasq",
            Server::Dhcpd => "usr/sbin/dhcpd",
            Server::Kea => "usr/sbin/kea-dhcp4",
        }
    }

    /// Starts it in a namespace, on this interface of that; what it writes goes to `folder`.
    pub fn start(self, root: &Path, namespace: &str, interface: &str, folder: &Path, offer: &Offer) -> Running {
        let Offer { mac, address, name, lease_s } = offer;
        let path = |name: &str| folder.join(format!("{self:?}.{name}"));
        let (settings, leases, log) = (path("conf"), path("leases"), path("log"));
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]).arg(root.join("lib64/ld-linux-x86-64.so.2")).arg("--library-path");
        let libraries = ["lib", "usr/lib"].map(|folder| root.join(folder).join("x86_64-linux-gnu"));
        command.arg(libraries.map(|folder| folder.display().to_string()).join(":")).arg(root.join(self.program()));
        let text = match self {
            Server::Dnsmasq => {
                command.arg("--keep-in-foreground").arg(format!("--conf-file={}", settings.display()));
                format!(
                    "port=0\ninterface={interface}\nbind-interfaces\nuser=root\ndhcp-leasefile={}\nlog-facility=-\n\
                     dhcp-range=172.20.0.0,static,255.255.0.0,{lease_s}\ndhcp-host={mac},{address},{name}\ndhcp-option=3\n",
                    leases.display()
                )
            }
            Server::Dhcpd => {
                command.args(["-f", "-d", "--no-pid", "-cf"]).arg(&settings).arg("-lf").arg(&leases).arg(interface);
                format!(
                    "default-lease-time {lease_s};\nmax-lease-time {lease_s};\nauthoritative;\n\
                     subnet 172.20.0.0 netmask 255.255.0.0 {{ }}\n\
                     host {name} {{ hardware ethernet {mac}; fixed-address {address}; }}\n"
                )
            }
            Server::Kea => {
                command.arg("-c").arg(&settings).env("KEA_PIDFILE_DIR", folder).env("KEA_LOCKFILE_DIR", folder);
                let reservation = serde_json::json!({ "hw-address": mac, "ip-address": address, "hostname": name });
                let logger = serde_json::json!({
                    "name": "kea-dhcp4", "severity": "INFO", "output_options": [{ "output": "stdout", "flush": true }],
                });
                serde_json::json!({ "Dhcp4": {
                    "interfaces-config": { "interfaces": [interface] },
                    "lease-database": { "type": "memfile", "persist": false },
                    "valid-lifetime": lease_s,
                    "subnet4": [{ "subnet": "172.20.0.0/16", "reservations": [reservation] }],
                    "loggers": [logger],
                } })
                .to_string()
            }
        };
        fs::write(&settings, text).unwrap();
        fs::write(&leases, "").unwrap();
        let file = fs::File::create(&log).unwrap();
        command.stdout(file.try_clone().unwrap()).stderr(file);
        Running { child: command.spawn().unwrap(), log }
    }
}
