-- Read one session. ARGV: its id. Answers its fields, none when there is no such session.
return view(ARGV[1])
