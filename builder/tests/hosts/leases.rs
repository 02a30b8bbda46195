//! Level two: a machine with two cards asks DHCP servers of others for an address, finds out by it who it is, has it
//! renewed, and gives it up when nobody renews it.

use std::fs;
use std::process::{Child, Command};

use vmatic_plan::{HostNames, Plan};

use crate::dhcp_servers::{Offer, Running, Server, root};
use crate::netns::{Rack, agent, ip};
use crate::output::stdout;

/// The card that has a server; the other has a cable, and nobody answers there.
const MAC: &str = "00:16:3e:51:00:02";
/// What is offered: the address that the plan gives host 2.
const ADDRESS: &str = "172.20.0.2";
/// A lease of so many seconds, where the server gives so short ones.
const LEASE_S: u32 = 20;

/// An agent that has a root of its own, as a machine has.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A rack whose second place has a machine without an address, with a second card.
struct Site {
    rack: Rack,
    namespace: String,
}

impl Site {
    fn new() -> Site {
        let rack = Rack::of(Plan { guests_per_host: 0, ..Plan::new("leases", HostNames::count(2).unwrap()) });
        let (namespace, wire) = (rack.namespace(2), rack.wire_namespace());
        ip(&format!("-n {namespace} addr flush dev eth0"));
        ip(&format!("-n {namespace} link set eth0 address 00:16:3e:51:00:01"));
        // The first card's cable leads to a bridge of its own.
        ip(&format!("-n {wire} link add br1 type bridge"));
        ip(&format!("-n {wire} link set br1 up"));
        ip(&format!("-n {wire} link set p2 master br1"));
        ip(&format!("-n {wire} link add q2 type veth peer name eth1 netns {namespace}"));
        ip(&format!("-n {wire} link set q2 master br0 up"));
        ip(&format!("-n {namespace} link set eth1 address {MAC}"));
        Site { rack, namespace }
    }

    /// Switches the machine on.
    fn boot(&self) -> Machine {
        let log = fs::File::create(self.rack.folder.at("2.log")).unwrap();
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace, "unshare", "--mount", "--uts", "sh", "-c"]);
        command.arg("mount -t tmpfs run /run && exec \"$@\"").arg("sh").arg(agent()).arg("node").arg("--plan");
        command.arg(self.rack.folder.at("plan")).arg("--operator").arg(self.rack.folder.at("operator.pub"));
        Machine(command.args(["--cmdline", ""]).stderr(log).spawn().unwrap())
    }

    fn serve(&self, server: Server) -> Running {
        let offer =
            Offer { mac: MAC, address: ADDRESS.parse().unwrap(), name: "n2", lease_s: LEASE_S.max(least(server)) };
        server.start(&root(), &self.rack.wire_namespace(), "br0", self.rack.folder.path(), &offer)
    }

    fn wait_for(&self, what: &str, server: Option<&Running>, is: impl Fn(&str) -> bool) {
        self.rack.deadline.until(what, || {
            let log = self.rack.log(2);
            if is(&log) {
                Ok(())
            } else {
                Err(format!("the machine:\n{log}\nthe server:\n{:?}", server.map(Running::log)))
            }
        });
    }

    fn addresses(&self) -> String {
        let output = Command::new("ip").args(["-n", &self.namespace, "-4", "-o", "addr"]).output().unwrap();
        stdout(&output)
    }
}

/// The shortest lease that a server gives, in seconds.
fn least(server: Server) -> u32 {
    if server == Server::Dnsmasq { 120 } else { 1 }
}

/// A machine without a number on its command line finds out who it is by the second card's lease.
fn is_found(site: &Site, server: Server, running: &Running) -> Machine {
    let machine = site.boot();
    site.wait_for("the machine knows who it is", Some(running), |log| log.contains("host 2 (h2) of leases listens"));
    let lease_s = LEASE_S.max(least(server));
    let log = site.rack.log(2);
    assert!(log.contains("asking for an address on eth0, eth1"), "{log}");
    assert!(log.contains(&format!("eth1 has {ADDRESS} by DHCP, of server 172.20.255.1, for {lease_s} s")), "{log}");
    assert!(site.addresses().contains(&format!("{ADDRESS}/16")), "{}", site.addresses());
    machine
}

#[test]
#[ignore = "level two: make test-hosts"]
fn dnsmasq_on_the_second_card_tells_a_machine_who_it_is() {
    let site = Site::new();
    let running = site.serve(Server::Dnsmasq);
    let _machine = is_found(&site, Server::Dnsmasq, &running);
}

/// A server that knows nothing of the lease takes it back, and so the address goes at once.
#[test]
#[ignore = "level two: make test-hosts"]
fn an_address_that_a_server_takes_back_is_given_up() {
    let site = Site::new();
    let running = site.serve(Server::Dhcpd);
    let _machine = is_found(&site, Server::Dhcpd, &running);
    drop(running);
    let offer = Offer { mac: "00:16:3e:99:99:99", address: [172, 20, 0, 9].into(), name: "n9", lease_s: 600 };
    let other = Server::Dnsmasq.start(&root(), &site.rack.wire_namespace(), "br0", site.rack.folder.path(), &offer);
    site.wait_for("the address is taken back", Some(&other), |log| log.contains("172.20.255.1 took it back"));
    assert!(!site.addresses().contains(ADDRESS), "{}", site.addresses());
}

/// The lease is renewed again and again; the server vanishes, and the address is gone with the lease; it comes back.
fn is_renewed_and_lost(server: Server, renewed: &str) {
    let site = Site::new();
    let running = site.serve(server);
    let _machine = is_found(&site, server, &running);
    site.wait_for("a second renewal", Some(&running), |_| running.log().matches(renewed).count() >= 3);
    assert!(!site.rack.log(2).contains("has lost its address"), "{}", site.rack.log(2));
    drop(running);
    let lost = format!("eth1 has lost its address {ADDRESS}: its lease of {LEASE_S} s is over");
    site.wait_for("the address is lost", None, |log| log.contains(&lost));
    assert!(!site.addresses().contains(ADDRESS), "{}", site.addresses());
    let running = site.serve(server);
    let given = format!("eth1 has {ADDRESS} by DHCP");
    site.wait_for("it comes back", Some(&running), |log| log.matches(&given).count() == 2);
    assert!(site.addresses().contains(ADDRESS), "{}", site.addresses());
}

#[test]
#[ignore = "level two: make test-hosts"]
fn a_lease_of_isc_dhcpd_is_renewed_and_lost_with_its_server() {
    is_renewed_and_lost(Server::Dhcpd, "DHCPACK");
}

#[test]
#[ignore = "level two: make test-hosts"]
fn a_lease_of_kea_is_renewed_and_lost_with_its_server() {
    is_renewed_and_lost(Server::Kea, "DHCP4_LEASE_ALLOC");
}
