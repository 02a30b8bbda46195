graph [
  directed 0
  node [ id 0 label "one" host_bandwidth_up "1 Gbit" ]
  node [ id 1 label "two" ]
  edge [ source 0 target 1 latency "5 ms" jitter "500 us" packet_loss 0.01 ]
  edge [ source 0 target 0 latency "1 ms" ]
]
