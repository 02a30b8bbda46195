# three machines on a LAN, two of them on a cable
vm config memory 128
vm config net LAN
vm launch kvm web
vm config net mega_bridge,LAN,00:00:00:00:00:01 CABLE
vm launch kvm pc[1-2]
vm start all
