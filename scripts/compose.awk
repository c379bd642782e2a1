# Reads what `docker-compose config` prints. Each published port is on loopback; each service has a limit of memory and of
# processors; each health check has a start period; `seed` is of the profile `development` alone.
function bad(text) { print "docker-compose.yml: " service ": " text > "/dev/stderr"; failed = 1 }
function finish() {
    if (service == "") return
    services++
    if (!memory) bad("mem_limit is missing")
    if (!cpus) bad("cpus is missing")
    if (health && !start) bad("its health check has no start_period")
    if (service == "seed" && profiles != "development ") bad("is not of the profile development alone")
}
/^[^ ]/ { finish(); service = ""; inside = /^services:/; next }
inside && /^  [^ ].*:$/ {
    finish()
    service = substr($1, 1, length($1) - 1)
    key = profiles = ""; memory = cpus = health = start = 0
    next
}
inside && /^    [a-z_]+:/ {
    key = $1
    if (key == "mem_limit:") memory = 1
    if (key == "cpus:") cpus = 1
    if (key == "healthcheck:") health = 1
    next
}
inside && key == "healthcheck:" && $1 == "start_period:" { start = 1 }
inside && key == "ports:" && /^    - / && $2 !~ /^127\.0\.0\.1:/ { bad("port " $2 " is not on loopback") }
inside && key == "profiles:" && /^    - / { profiles = profiles $2 " " }
END { finish(); if (services < 7) { print "docker-compose.yml: only " services + 0 " services were found" > "/dev/stderr"; failed = 1 } exit failed }
