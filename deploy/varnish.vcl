# Varnish in front of one portal. It speaks no TLS: hitch, stunnel or another proxy does that before it. Tried with Varnish 7.1; the
# tests start it with this file.
# Start it:         varnishd -a 127.0.0.1:6081 -f /etc/varnish/golooader.vcl -p timeout_idle=65 -p idle_send_timeout=90
# Give the portal:  --public-url https://files.example  --trusted-proxies 127.0.0.1

vcl 4.1;

backend portal {
    .host = "127.0.0.1";
    .port = "7878";
    # More than two heartbeats (25 s each) of an event stream. Varnish would cut after 60 seconds without a byte.
    .first_byte_timeout = 90s;
    .between_bytes_timeout = 90s;
}

sub vcl_recv {
    # For the public address https://files.example/gl take the line after "instead" in place of the one below it.
    # instead: if (req.url == "/gl") { return (synth(301)); } if (req.url !~ "^/gl/") { return (synth(404)); } set req.url = regsub(req.url, "^/gl/", "/");
    #
    # The figures are for your Prometheus. Varnish compares the address as it came, so each letter is denied in each of its forms, and so
    # is an address with a host.
    if (req.url ~ "(?i)^([a-z]+://[^/]*)?/+(m|%6d)(e|%65)(t|%74)(r|%72)(i|%69)(c|%63)(s|%73)") {
        return (synth(404));
    }
    # Nothing of a portal may be kept here. "pass" also lets requests and answers through as they come.
    return (pass);
}

sub vcl_synth {
    if (resp.status == 301) {
        set resp.http.Location = "/gl/";
    }
}
