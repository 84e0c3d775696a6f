#!/bin/sh
# Make an authority and a pair each for a server on this machine and for a client, in the folder given, for 30 days;
# and ssl.config, which tells the server about them. In earnest the authority's key lies on another machine.
#
#     examples/mutual_tls/make_certificates.sh FOLDER
set -eu
mkdir -p "${1:?a folder for the keys}"
cd "$1"
umask 077
new_key() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "$@"; }

new_key -x509 -keyout ca.key -out ca.pem -days 30 -subj "/CN=Example authority"

pair() {  # NAME NAMES: NAME.key and NAME.pem, signed by the authority for the alternative names
    printf 'subjectAltName=%s\n' "$2" > "$1.ext"
    new_key -keyout "$1.key" -out "$1.csr" -subj "/CN=$1"
    openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -out "$1.pem" -days 30 -extfile "$1.ext"
    rm "$1.csr" "$1.ext"
}
pair server "DNS:localhost,IP:127.0.0.1"
pair client "DNS:client"

# A text proto's string may be continued on the next line; \n stands for the end of a line of the PEM file.
field() {
    printf '%s:\n' "$1"
    sed 's/.*/  "&\\n"/' "$2"
}
{
    field server_key server.key
    field server_cert server.pem
    field custom_ca ca.pem
    printf 'client_verify: true\n'
} > ssl.config
