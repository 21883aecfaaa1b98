import { testProxy } from './suite.ts'

testProxy('haproxy', { refusal: 'before the upload', isUploadStreamed: true, hasPaths: true, hasTls: true })
