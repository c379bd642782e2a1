# docs/CONFIGURATION.md from config/default.toml, whose lines are `key = value # VARIABLE, VARIABLE: explanation`.
function cell(text) { gsub(/\|/, "\\|", text); return text }

BEGIN {
    print "# Configuration"
    print ""
    print "<!-- Generated from config/default.toml by `make configuration`. -->"
    print ""
    print "Every setting, its environment variable and its default. A setting is taken from the first of these that has it: the environment"
    print "(in development also `.env` in the working directory), the file of `--config FILE` or `FLASHSALE_CONFIG`, the default. Of two variables"
    print "in one line the first that is set counts. A password or secret can be read from a file: `NAME_FILE` holds the path, for every variable"
    print "that is marked with *."
    print ""
    print "Every address is a host name, an IPv4 address, or an IPv6 address bare or in brackets, with a port or without: `db.example`,"
    print "`10.0.0.7:5432`, `::1`, `[::1]:5432`. A port in the address takes precedence over the setting of the port."
}

/^# / && started { remark = remark (remark == "" ? "" : " ") substr($0, 3); next }

/^\[/ {
    started = 1
    section = substr($0, 2, index($0, "]") - 2)
    printf "\n## `[%s]`\n\n", section
    if (remark != "") { gsub(/`/, "`", remark); printf "%s\n\n", remark; remark = "" }
    print "| variable | key | default | |"
    print "| --- | --- | --- | --- |"
    next
}

/^[a-z_]+ = / {
    started = 1
    key = $1
    at = index($0, " # ")
    value = substr($0, length(key) + 4, at - length(key) - 4)
    sub(/ +$/, "", value)
    note = substr($0, at + 3)
    names = note
    text = ""
    if ((colon = index(note, ": ")) > 0) {
        names = substr(note, 1, colon - 1)
        text = substr(note, colon + 2)
    }
    secret = key ~ /password$|secret$|secret_previous$/ ? "\\*" : ""
    gsub(/, /, "`, `", names)
    value = value == "\"\"" ? "" : "`" value "`"
    gsub(/"/, "", value)
    printf "| `%s`%s | `%s` | %s | %s |\n", names, secret, key, value, cell(text)
}
