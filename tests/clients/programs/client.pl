# Perl's LWP: see tests/clients/run.
use strict;
use warnings;
use HTTP::Request::Common qw(POST);
use LWP::UserAgent;
use Time::HiRes qw(time);
use URI;

my ($library, $how, $url, $file, $name, $count) = @ARGV;
my $agent = LWP::UserAgent->new(keep_alive => 1);
for (1 .. $count) {
    my $request;
    if ($how eq 'form') {
        my @parts = (channel => 'sms', file => [$file, $name, 'Content-Type' => 'application/octet-stream']);
        $request = POST $url, 'Content-Type' => 'form-data', 'Content' => \@parts;
    } else {
        my $raw = URI->new($url);
        $raw->query_form(channel => 'sms', name => $name);
        open my $input, '<:raw', $file or die $!;
        local $/;
        $request = POST $raw, 'Content-Type' => 'application/octet-stream', 'Content' => <$input>;
    }
    my $began = time;
    my $answer = $agent->request($request)->content;
    $answer =~ s/\s+$//;
    printf "%.1f %s\n", (time - $began) * 1000, $answer;
}
