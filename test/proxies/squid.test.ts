import { testProxy } from './suite.ts'

testProxy('squid', { refusal: 'before the upload', isUploadStreamed: true, hasPaths: false, hasTls: false })
