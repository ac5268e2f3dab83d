#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
use strict;
use warnings;
use IO::Socket::INET;
use Test::More tests => 2;

my $server = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 4444, Listen => 1, ReuseAddr => 1);
ok($server, 'has the port');
open(my $ledger, '>', 'ledger') or die $!;
print $ledger $0;
close $ledger;
select(undef, undef, undef, 0.2);
open($ledger, '<', 'ledger') or die $!;
is(<$ledger>, $0, 'has the file');
