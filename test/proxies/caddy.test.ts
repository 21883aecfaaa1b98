import { testProxy } from './suite.ts'

testProxy('caddy', { refusal: 'before the upload', isUploadStreamed: true, hasPaths: true, hasTls: true })
